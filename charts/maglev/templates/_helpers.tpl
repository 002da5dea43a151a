{{/* The chart's name as it appears in object names. */}}
{{- define "maglev.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 53 | trimSuffix "-" -}}
{{- end -}}

{{/* Release and chart name; the chart's name alone where the release already bears it. */}}
{{- define "maglev.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 53 | trimSuffix "-" -}}
{{- else if contains (include "maglev.name" .) .Release.Name -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "maglev.name" .) | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The agent's objects: "maglevd" for the release "maglev", "prod-maglevd" for "prod". */}}
{{- define "maglev.agent.fullname" -}}
{{- $fullname := include "maglev.fullname" . -}}
{{- if hasSuffix "maglev" $fullname -}}
{{- printf "%sd" $fullname -}}
{{- else -}}
{{- printf "%s-maglevd" $fullname -}}
{{- end -}}
{{- end -}}

{{- define "maglev.agent.serviceAccountName" -}}
{{- if .Values.agent.serviceAccount.create -}}
{{- default (include "maglev.agent.fullname" .) .Values.agent.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.agent.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* The controller's objects. */}}
{{- define "maglev.controller.fullname" -}}
{{- printf "%s-controller" (include "maglev.fullname" .) -}}
{{- end -}}

{{- define "maglev.controller.serviceAccountName" -}}
{{- if .Values.controller.serviceAccount.create -}}
{{- default (include "maglev.controller.fullname" .) .Values.controller.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.controller.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "maglev.controller.selectorLabels" -}}
app.kubernetes.io/name: maglev
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: controller
{{- end -}}

{{/* Labels of every object. */}}
{{- define "maglev.labels" -}}
{{- with .Values.commonLabels }}
{{- toYaml . }}
{{ end -}}
app.kubernetes.io/name: maglev
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* What finds the agent's pods; controller and dashboard look for name and component. */}}
{{- define "maglev.agent.selectorLabels" -}}
app.kubernetes.io/name: maglev
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: maglevd
{{- end -}}

{{/* The dashboard's objects: "maglev-frontend" for the release "maglev". */}}
{{- define "maglev.dashboard.fullname" -}}
{{- printf "%s-frontend" (include "maglev.fullname" .) -}}
{{- end -}}

{{- define "maglev.dashboard.serviceAccountName" -}}
{{- if .Values.dashboard.serviceAccount.create -}}
{{- default (include "maglev.dashboard.fullname" .) .Values.dashboard.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.dashboard.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* What finds the dashboard's pods. */}}
{{- define "maglev.dashboard.selectorLabels" -}}
app.kubernetes.io/name: maglev
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: dashboard
{{- end -}}

{{/* What `helm test` makes. */}}
{{- define "maglev.test.fullname" -}}
{{- printf "%s-test" (include "maglev.fullname" .) -}}
{{- end -}}

{{/* An image reference, from a dict of "image" and "root". */}}
{{- define "maglev.image" -}}
{{- $image := .image -}}
{{- $name := $image.repository -}}
{{- if $image.registry -}}
{{- $name = printf "%s/%s" $image.registry $name -}}
{{- end -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $name $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default .root.Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

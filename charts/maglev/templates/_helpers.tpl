{{/* The chart name used in object names. */}}
{{- define "maglev.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 53 | trimSuffix "-" -}}
{{- end -}}

{{/* Release name and chart name; the release name alone if it contains the chart name. */}}
{{- define "maglev.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 53 | trimSuffix "-" -}}
{{- else if contains (include "maglev.name" .) .Release.Name -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "maglev.name" .) | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Name of the agent's objects: "maglevd" for release "maglev", "prod-maglevd" for release "prod". */}}
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

{{/* Name of the controller's objects. */}}
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

{{/* Labels added to every object. */}}
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

{{/* Selector labels of the agent's pods. Controller and dashboard find agents by the labels name and component. */}}
{{- define "maglev.agent.selectorLabels" -}}
app.kubernetes.io/name: maglev
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: maglevd
{{- end -}}

{{/* Name of the dashboard's objects: "maglev-frontend" for release "maglev". */}}
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

{{/* Selector labels of the dashboard's pods. */}}
{{- define "maglev.dashboard.selectorLabels" -}}
app.kubernetes.io/name: maglev
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: dashboard
{{- end -}}

{{/* Name of the objects of `helm test`. */}}
{{- define "maglev.test.fullname" -}}
{{- printf "%s-test" (include "maglev.fullname" .) -}}
{{- end -}}

{{/* Image reference. Takes a dict with "image" and "root". */}}
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

{{/*
Restores the default of every value that was set to null, which helm removes. Every template starts with this call.
files/defaults.yaml is a copy of values.yaml, which helm does not make available to templates.
*/}}
{{- define "maglev.defaults" -}}
{{- include "maglev.fill" (list .Values (.Files.Get "files/defaults.yaml" | fromYaml)) -}}
{{- end -}}

{{/*
Sets the keys of the second map that the first does not have. Maps with the content of Kubernetes' own types are left as
they are, so that one of their keys can be removed.
*/}}
{{- define "maglev.fill" -}}
{{- $values := index . 0 -}}
{{- range $key, $default := index . 1 -}}
{{- $value := get $values $key -}}
{{- if or (not (hasKey $values $key)) (kindIs "invalid" $value) -}}
{{- $_ := set $values $key $default -}}
{{- else if and (kindIs "map" $default) (not (has $key (list "resources" "updateStrategy" "labels"))) -}}
{{- include "maglev.fill" (list $value $default) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The chart name used in object names. */}}
{{- define "maglev.name" -}}
{{- include "maglev.objectName" (default .Chart.Name .Values.nameOverride) -}}
{{- end -}}

{{/*
Converts a name into the start of a Service's name, which is a DNS label that begins with a letter. A release's name may
contain dots and begin with a digit.
*/}}
{{- define "maglev.objectName" -}}
{{- $name := . | replace "." "-" -}}
{{- if regexMatch "^[0-9]" $name -}}
{{- $name = printf "maglev-%s" $name -}}
{{- end -}}
{{- $name | trunc 53 | trimSuffix "-" -}}
{{- end -}}

{{/* Release name and chart name; the release name alone if it contains the chart name. */}}
{{- define "maglev.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- include "maglev.objectName" .Values.fullnameOverride -}}
{{- else if contains (include "maglev.name" .) .Release.Name -}}
{{- include "maglev.objectName" .Release.Name -}}
{{- else -}}
{{- include "maglev.objectName" (printf "%s-%s" .Release.Name (include "maglev.name" .)) -}}
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

{{/*
Fails unless the agent's nodes are chosen. maglevd runs as root, in the network of its node, with access to VPP.
*/}}
{{- define "maglev.agent.requireNodes" -}}
{{- $required := dig "nodeAffinity" "requiredDuringSchedulingIgnoredDuringExecution" "" .Values.agent.affinity -}}
{{- if not (or .Values.agent.nodeSelector $required) -}}
{{- fail "agent.nodeSelector is empty, but it must select the load-balancer nodes, because maglevd runs on them as root and in their network. Set it to a label of these nodes, such as --set agent.nodeSelector.role=load-balancer; for every Linux node, --set 'agent.nodeSelector.kubernetes\\.io/os=linux'." -}}
{{- end -}}
{{- end -}}

{{/* Fails if a component of a system-… priority class has no memory limit. Takes a list: the root and the component. */}}
{{- define "maglev.requireLimit" -}}
{{- $component := index . 1 -}}
{{- $values := index (index . 0).Values $component -}}
{{- if and (hasPrefix "system-" (default "" $values.priorityClassName)) (not (dig "limits" "memory" "" $values.resources)) -}}
{{- fail (printf "%s.priorityClassName is %s, but %s.resources.limits.memory is not set: the kernel kills a pod of this class last, so one that grows without a limit makes it kill VPP. Set the limit (docs/guide/install.md), or another priority class." $component $values.priorityClassName $component) -}}
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
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: controller
{{- end -}}

{{/*
Labels of an object. Takes a list: the root, the component or "", and optionally further labels. The chart's own labels
take precedence over commonLabels, which take precedence over the further labels.
*/}}
{{- define "maglev.labels" -}}
{{- $root := index . 0 -}}
{{- $own := dict -}}
{{- $_ := set $own "app.kubernetes.io/name" "maglev" -}}
{{- $_ := set $own "app.kubernetes.io/instance" $root.Release.Name -}}
{{- $_ := set $own "app.kubernetes.io/version" $root.Chart.AppVersion -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" $root.Release.Service -}}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_") -}}
{{- with index . 1 -}}
{{- $_ := set $own "app.kubernetes.io/component" . -}}
{{- end -}}
{{- $more := dict -}}
{{- if gt (len .) 2 -}}
{{- $more = index . 2 -}}
{{- end -}}
{{- include "maglev.merge" (list $more $root.Values.commonLabels $own) -}}
{{- end -}}

{{/* Merges a list of maps, of which the last has precedence, into the YAML of one map without duplicate keys. */}}
{{- define "maglev.merge" -}}
{{- $merged := dict -}}
{{- range . -}}
{{- range $key, $value := . -}}
{{- $_ := set $merged $key $value -}}
{{- end -}}
{{- end -}}
{{- toYaml $merged -}}
{{- end -}}

{{/* Selector labels of the agent's pods. Controller and dashboard find agents by the labels name and component. */}}
{{- define "maglev.agent.selectorLabels" -}}
app.kubernetes.io/name: maglev
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: maglevd
{{- end -}}

{{/* Name of the dashboard's objects: "maglev-frontend" for release "maglev". */}}
{{- define "maglev.dashboard.fullname" -}}
{{- printf "%s-frontend" (include "maglev.fullname" .) -}}
{{- end -}}

{{/* Names under which the dashboard answers, separated by commas: those of its Service, its Ingress, and the values. */}}
{{- define "maglev.dashboard.hosts" -}}
{{- $name := include "maglev.dashboard.fullname" . -}}
{{- $service := printf "%s.%s" $name .Release.Namespace -}}
{{- $hosts := list $name $service (printf "%s.svc" $service) (printf "%s.svc.cluster.local" $service) .Values.dashboard.ingress.host -}}
{{- concat $hosts (.Values.dashboard.allowedHosts | default list) | compact | uniq | join "," -}}
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
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: dashboard
{{- end -}}

{{/* Name of a ClusterRole for users: "maglev-view" for release "maglev". Takes a list: the root and the role. */}}
{{- define "maglev.userRole" -}}
{{- printf "%s-%s" (include "maglev.fullname" (index . 0)) (index . 1) -}}
{{- end -}}

{{/* Name of the objects of `helm test`. */}}
{{- define "maglev.test.fullname" -}}
{{- printf "%s-test" (include "maglev.fullname" .) -}}
{{- end -}}

{{/* The user name of a ServiceAccount of the release's namespace. Takes a list: the root and the ServiceAccount's name. */}}
{{- define "maglev.user" -}}
{{- printf "system:serviceaccount:%s:%s" (index . 0).Release.Namespace (index . 1) -}}
{{- end -}}

{{/* The users that may read the agents' state, separated by commas. */}}
{{- define "maglev.grpc.viewers" -}}
{{- $own := list (include "maglev.controller.serviceAccountName" .) (include "maglev.dashboard.serviceAccountName" .) (include "maglev.test.fullname" .) "maglevc-viewer" -}}
{{- $viewers := list -}}
{{- range $own -}}
{{- $viewers = append $viewers (include "maglev.user" (list $ .)) -}}
{{- end -}}
{{- concat $viewers (.Values.grpc.viewers | default list) | uniq | join "," -}}
{{- end -}}

{{/* The users that may also request syncs, separated by commas. */}}
{{- define "maglev.grpc.operators" -}}
{{- concat (list (include "maglev.user" (list . "maglevc-operator"))) (.Values.grpc.operators | default list) | uniq | join "," -}}
{{- end -}}

{{/* Name of the Secret with the agents' certificate. */}}
{{- define "maglev.grpc.secretName" -}}
{{- if eq .Values.grpc.tls.mode "secret" -}}
{{- required "grpc.tls.mode is secret, but grpc.tls.secretName is empty: set it to the Secret with the agents' certificate." .Values.grpc.tls.secretName -}}
{{- else -}}
maglevd-tls
{{- end -}}
{{- end -}}

{{/* Flags of a client of the agents. */}}
{{- define "maglev.grpc.clientArgs" -}}
- --agent-ca-file=/var/run/maglev/ca.crt
- --agent-token-file=/var/run/maglev/token
{{- if eq .Values.grpc.auth "permissive" }}
- --agent-plain-fallback
{{- end }}
{{- end -}}

{{/* The files of a client of the agents: its token, and the authorities that it trusts. */}}
{{- define "maglev.grpc.clientVolume" -}}
- name: agent-access
  projected:
    sources:
      - serviceAccountToken:
          path: token
          audience: maglevd.maglev.vpp.io
          expirationSeconds: 3600
      {{- if eq .Values.grpc.tls.mode "certManager" }}
      - secret:
          name: maglevd-tls
          optional: true
          items: [{key: ca.crt, path: ca.crt}]
      {{- else }}
      - configMap:
          name: {{ include "maglev.grpc.caConfigMap" . }}
          optional: true
          items: [{key: ca.crt, path: ca.crt}]
      {{- end }}
{{- end -}}

{{/* Name of the ConfigMap with the authorities that clients trust. */}}
{{- define "maglev.grpc.caConfigMap" -}}
{{- if eq .Values.grpc.tls.mode "secret" -}}
{{- required "grpc.tls.mode is secret, but grpc.tls.caConfigMap is empty: set it to the ConfigMap with the authorities of the agents' certificate." .Values.grpc.tls.caConfigMap -}}
{{- else -}}
maglev-ca
{{- end -}}
{{- end -}}

{{- define "maglev.grpc.clientMount" -}}
- name: agent-access
  mountPath: /var/run/maglev
  readOnly: true
{{- end -}}

{{/* The flag of the users that may read metrics, or nothing. */}}
{{- define "maglev.metrics.args" -}}
{{- if eq .Values.metrics.auth "token" -}}
{{- if not .Values.metrics.viewers -}}
{{- fail "metrics.auth is token, but metrics.viewers is empty: name the users that may read metrics, such as system:serviceaccount:monitoring:prometheus." -}}
{{- end -}}
- --metrics-viewer={{ join "," .Values.metrics.viewers }}
{{- end -}}
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

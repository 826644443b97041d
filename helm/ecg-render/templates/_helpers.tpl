{{- /* What all names begin with: the release's name, so that two releases do not meet. A RenderJob's name, as <base>-test
       is one, has 48 characters at most; a longer base is cut, and told from others that begin alike by a sum of all of it. */ -}}
{{- define "ecg-render.base" -}}
{{- $own := .Values.nameOverride | empty | ternary .Release.Name (printf "%s-%s" .Release.Name .Values.nameOverride) -}}
{{- $name := .Values.fullnameOverride | default $own -}}
{{- if gt (len $name) 43 -}}{{- printf "%s-%s" (trunc 36 $name | trimSuffix "-") (sha256sum $name | trunc 6) -}}
{{- else -}}{{- $name -}}{{- end -}}
{{- end -}}

{{- define "ecg-render.name" -}}
{{- include "ecg-render.base" . -}}-operator
{{- end -}}

{{- define "ecg-render.warm.name" -}}
{{- include "ecg-render.base" . -}}-warm
{{- end -}}

{{- define "ecg-render.selector" -}}
app.kubernetes.io/name: ecg-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- /* The pods of a part by its selector, for policies and budgets: not one that renders, whatever its labels. */ -}}
{{- define "ecg-render.pods" -}}
matchLabels: {{- . | nindent 2 }}
matchExpressions:
  - {key: render.ecg.dev/role, operator: DoesNotExist}
{{- end -}}

{{- define "ecg-render.labels" -}}
{{ include "ecg-render.selector" . }}
{{ include "ecg-render.commonLabels" . }}
{{- end -}}

{{- define "ecg-render.service.name" -}}
{{- include "ecg-render.base" . -}}-service
{{- end -}}

{{- define "ecg-render.service.selector" -}}
app.kubernetes.io/name: ecg-service
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "ecg-render.service.labels" -}}
{{ include "ecg-render.service.selector" . }}
{{ include "ecg-render.commonLabels" . }}
{{- end -}}

{{- /* Of objects that belong to neither part alone. */ -}}
{{- define "ecg-render.shared.labels" -}}
app.kubernetes.io/name: ecg-render
app.kubernetes.io/instance: {{ .Release.Name }}
{{ include "ecg-render.commonLabels" . }}
{{- end -}}

{{- /* The pod of `helm test`. */ -}}
{{- define "ecg-render.test.selector" -}}
app.kubernetes.io/name: ecg-render
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: test
{{- end -}}

{{- define "ecg-render.commonLabels" -}}
app.kubernetes.io/part-of: ecg-render
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* Metadata of an object in the release's namespace: dict "root" . "name" ... "labels" (a text) "annotations" (a map). */ -}}
{{- define "ecg-render.metadata" -}}
name: {{ .name }}
{{- if not .cluster }}
namespace: {{ .namespace | default .root.Release.Namespace }}
{{- end }}
labels: {{- .labels | nindent 2 }}
{{- with .annotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "ecg-render.image" -}}
{{- if .image.digest -}}{{- printf "%s@%s" .image.repository .image.digest -}}
{{- else -}}{{- printf "%s:%s" .image.repository (.image.tag | default .version) -}}{{- end -}}
{{- end -}}

{{- /* A value as it was written: Helm reads numbers as floats, and would print 2000000 as 2e+06. */ -}}
{{- define "ecg-render.text" -}}
{{- if kindIs "float64" . -}}{{- if eq . (floor .) -}}{{- printf "%.0f" . -}}{{- else -}}{{- . -}}{{- end -}}
{{- else -}}{{- toString . -}}{{- end -}}
{{- end -}}

{{- /* A map as a JSON object of texts: values may hold commas. */ -}}
{{- define "ecg-render.pairs" -}}
{{- $pairs := dict -}}
{{- range $name, $value := . -}}{{- $_ := set $pairs $name (include "ecg-render.text" $value) -}}{{- end -}}
{{- toJson $pairs -}}
{{- end -}}

{{- /* Whether somebody says ECG_PUBLIC_URL himself; empty if nobody does. */ -}}
{{- define "ecg-render.service.publicUrlIsSaid" -}}
{{- list .Values.service.env .Values.service.extraEnv | toJson | contains "\"ECG_PUBLIC_URL\"" | ternary "yes" "" -}}
{{- end -}}

{{- /* The address of the service by its Ingress, for links that last; empty if it is not known to have TLS for all of a host. */ -}}
{{- define "ecg-render.service.publicUrl" -}}
{{- $ingress := .Values.service.ingress -}}
{{- if and $ingress.enabled (eq $ingress.path "/") -}}
{{- with $ingress.hosts -}}
{{- $host := first . -}}
{{- $covered := false -}}
{{- range $ingress.tls -}}{{- $covered = or $covered (not .hosts) (has $host .hosts) -}}{{- end -}}
{{- if and $covered (not (hasPrefix "*" $host)) -}}https://{{- $host -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* What the cluster calls a GPU. */ -}}
{{- define "ecg-render.gpuResource" -}}
{{- get (.Values.operator.env | default dict) "GPU_RESOURCE" | default "nvidia.com/gpu" -}}
{{- end -}}

{{- /* Where the service makes RenderJobs. */ -}}
{{- define "ecg-render.service.namespace" -}}
{{- .Values.service.namespace | default .Release.Namespace -}}
{{- end -}}

{{- /* The namespaces whose jobs this chart can make objects for, apart by spaces. */ -}}
{{- define "ecg-render.jobNamespaces" -}}
{{- if .Values.namespaces -}}{{- join " " .Values.namespaces -}}
{{- else -}}{{- include "ecg-render.service.namespace" . -}}{{- end -}}
{{- end -}}

{{- /* ServiceAccount of the pods that render; empty: the namespace's default. */ -}}
{{- define "ecg-render.worker.serviceAccount" -}}
{{- $account := .Values.worker.serviceAccount -}}
{{- if $account.create -}}{{- $account.name | default (printf "%s-worker" (include "ecg-render.base" .)) -}}
{{- else -}}{{- $account.name -}}{{- end -}}
{{- end -}}

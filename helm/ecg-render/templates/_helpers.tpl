{{- define "ecg-render.name" -}}
{{- printf "%s-operator" .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "ecg-render.selector" -}}
app.kubernetes.io/name: ecg-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "ecg-render.labels" -}}
{{ include "ecg-render.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- define "ecg-render.image" -}}
{{- printf "%s:%s" .image.repository (.image.tag | default .version) -}}
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

{{- define "ecg-render.rules" -}}
- apiGroups: [render.ecg.dev]
  resources: [renderjobs]
  verbs: [get, list, watch, delete]
- apiGroups: [render.ecg.dev]
  resources: [renderjobs/status]
  verbs: [patch]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete, deletecollection]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, deletecollection]
# Only to say what is wrong with a scenario's ConfigMap before a pod waits for it.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get]
- apiGroups: [""]
  resources: [events]
  verbs: [get, list, create, patch]
{{- end -}}

{{- define "ecg-render.service.name" -}}
{{- printf "%s-service" .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "ecg-render.service.selector" -}}
app.kubernetes.io/name: ecg-service
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "ecg-render.service.labels" -}}
{{ include "ecg-render.service.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- /* Where the service makes RenderJobs; one that the operator does not look at would let them wait for ever. */ -}}
{{- define "ecg-render.service.namespace" -}}
{{- $namespace := .Values.service.namespace | default .Release.Namespace -}}
{{- if and .Values.namespaces (not (has $namespace .Values.namespaces)) -}}
{{- fail (printf "service.namespace: the operator renders nothing in %q; take one of namespaces (%s)" $namespace (join ", " .Values.namespaces)) -}}
{{- end -}}
{{- $namespace -}}
{{- end -}}

{{- /* What the pods of operator and service share. Each takes dict "root" . "part" (.Values.operator or .service). */ -}}

{{- define "ecg-render.pod.metadata" -}}
labels: {{- .labels | nindent 2 }}
  {{- with .part.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .part.podAnnotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "ecg-render.pod.settings" -}}
# Kubernetes would describe neighbours by variables: a Service called `ecg` by ECG_PORT, which is a setting.
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- with .part.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .part.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  {{- range (list "kubernetes.io/hostname" "topology.kubernetes.io/zone") }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- $.selector | nindent 8 }}
  {{- end }}
{{- end -}}

{{- define "ecg-render.container.security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "ecg-render.container.env" -}}
{{- range $name, $value := .part.env }}
- {name: {{ $name }}, value: {{ include "ecg-render.text" $value | quote }}}
{{- end }}
{{- with .part.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "ecg-render.container.mounts" -}}
- {name: scratch, mountPath: /tmp}
{{- with .part.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "ecg-render.pod.volumes" -}}
- {name: scratch, emptyDir: {sizeLimit: 64Mi}}
{{- with .part.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "ecg-render.disruptionBudget" -}}
{{- /* dict "root" "name" "labels" "selector" "replicas" "budget"; none for one replica: it would only block drains. */ -}}
{{- if and .budget.enabled (gt (int .replicas) 1) }}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{- include "ecg-render.metadata" (dict "root" .root "name" .name "labels" .labels) | nindent 2 }}
spec:
  maxUnavailable: {{ include "ecg-render.text" .budget.maxUnavailable }}
  # Pods that never became ready protect nothing.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector: {{- include "ecg-render.pods" .selector | nindent 4 }}
{{- end }}
{{- end -}}

{{- /* Variables with the keys of one storage profile, from its Secrets; who uses it says what is missing. */ -}}
{{- define "ecg-render.storage.keys" -}}
{{- $variable := printf "ECG_STORAGE_%s" (upper .name | replace "-" "_") -}}
{{- with .secret -}}
- {name: {{ $variable }}_ACCESS_KEY_ID, valueFrom: {secretKeyRef: {name: {{ . }}, key: AWS_ACCESS_KEY_ID, optional: true}}}
- {name: {{ $variable }}_SECRET_ACCESS_KEY, valueFrom: {secretKeyRef: {name: {{ . }}, key: AWS_SECRET_ACCESS_KEY, optional: true}}}
- {name: {{ $variable }}_SESSION_TOKEN, valueFrom: {secretKeyRef: {name: {{ . }}, key: AWS_SESSION_TOKEN, optional: true}}}
{{ end -}}
{{- with .cdn -}}{{- with .secret -}}
- {name: {{ $variable }}_CDN_PRIVATE_KEY, valueFrom: {secretKeyRef: {name: {{ . }}, key: CDN_PRIVATE_KEY}}}
{{- end -}}{{- end -}}
{{- end -}}

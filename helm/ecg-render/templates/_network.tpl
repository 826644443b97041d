{{- /* Parts of NetworkPolicies: ways out, and whom they are for. */ -}}
{{- define "ecg-render.network.dns" -}}
# The cluster's DNS, and the copy of it that some clusters run on each node.
- to:
    - namespaceSelector:
        matchLabels: {kubernetes.io/metadata.name: kube-system}
    - ipBlock: {cidr: 169.254.20.10/32}
  ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
{{- end -}}

{{- define "ecg-render.network.public" -}}
{{- /* Each family's block may except only addresses of its own. */}}
{{- $except := dict "4" .Values.networkPolicy.privateRanges "6" .Values.networkPolicy.privateRangesV6 }}
{{- range .Values.networkPolicy.apiServer }}
{{- $family := ternary "6" "4" (contains ":" .) }}
{{- $_ := set $except $family (append (index $except $family) .) }}
{{- end }}
- to:
    - ipBlock:
        cidr: 0.0.0.0/0
        except: {{- toYaml (index $except "4") | nindent 10 }}
    - ipBlock:
        cidr: ::/0
        except: {{- toYaml (index $except "6") | nindent 10 }}
  ports:
    - {protocol: TCP, port: 443}
{{- end -}}

{{- define "ecg-render.network.apiServer" -}}
- {{ if .Values.networkPolicy.apiServer -}}
  to:
    {{- range .Values.networkPolicy.apiServer }}
    - ipBlock: {cidr: {{ . }}}
    {{- end }}
  {{ end -}}
  ports:
    - {protocol: TCP, port: 443}
    - {protocol: TCP, port: 6443}
{{- end -}}

{{- /* The rules of `ingress`: dict "from" (peers) "port". A rule whose `from` is empty would let everybody in. */ -}}
{{- define "ecg-render.network.ingress" -}}
{{- if .from -}}
- from: {{- toYaml .from | nindent 4 }}
  ports:
    - {protocol: TCP, port: {{ .port }}}
{{- else -}}
[]
{{- end -}}
{{- end -}}

{{- define "ecg-render.network.workers" -}}
matchLabels: {app.kubernetes.io/managed-by: ecg-render}
matchExpressions:
  - {key: render.ecg.dev/role, operator: Exists}
{{- end -}}

{{- /* The backend of service.callbackUrl: an address as it is; name.namespace as the pods of that namespace. */ -}}
{{- define "ecg-render.network.callbacks" -}}
{{- with .Values.service.callbackUrl }}
{{- $url := urlParse . }}
{{- $host := regexReplaceAll ":[0-9]+$" $url.host "" }}
{{- $port := regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) | default (ternary "443" "80" (eq $url.scheme "https")) }}
{{- $parts := splitList "." $host }}
{{- $local := or (eq (len $parts) 2) (has "svc" $parts) }}
# {{ . }}
- to:
    {{- if regexMatch "^[0-9.]+$" $host }}
    - ipBlock: {cidr: {{ $host }}/32}
    {{- else if or $local (eq (len $parts) 1) }}
    - namespaceSelector:
        matchLabels: {kubernetes.io/metadata.name: {{ ternary $.Release.Namespace (index $parts (min 1 (sub (len $parts) 1))) (eq (len $parts) 1) }}}
    {{- else }}
    - ipBlock: {cidr: 0.0.0.0/0, except: [169.254.0.0/16]}
    {{- end }}
  {{- /* Policies look at pods, whose port may be another one than their Service's. */}}
  {{- if not (or $local (eq (len $parts) 1)) }}
  ports:
    - {protocol: TCP, port: {{ $port }}}
  {{- end }}
{{- end }}
{{- end -}}

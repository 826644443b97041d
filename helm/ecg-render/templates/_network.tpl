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

{{- /* Where a host is, as far as its name tells: an address, or the pods of a namespace. Empty: outside of the cluster, or
       nobody can tell. dict "host" "namespace" (of the service). */ -}}
{{- define "ecg-render.network.host" -}}
{{- $host := .host | lower | trimSuffix "." | trimAll "[]" }}
{{- $parts := splitList "." $host }}
{{- if contains ":" $host -}}
ipBlock: {cidr: {{ printf "%s/128" $host | quote }}}
{{- else if regexMatch "^[0-9.]+$" $host -}}
ipBlock: {cidr: {{ $host }}/32}
{{- else if eq (len $parts) 1 -}}
namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ .namespace }}}}
{{- else if gt (len $parts) 2 -}}
{{- if eq (index $parts 2) "svc" -}}
namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ index $parts 1 }}}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* service.callbackUrl as a JSON object: host, port, and whether the way to public addresses may do. */ -}}
{{- define "ecg-render.network.callbackUrl" -}}
{{- $url := urlParse .Values.service.callbackUrl }}
{{- $port := regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) | default (ternary "443" "80" (eq (lower $url.scheme) "https")) }}
{{- dict "host" (regexReplaceAll ":[0-9]+$" $url.host "") "port" $port "public" (eq $port "443") | toJson }}
{{- end -}}

{{- /* The backends that callbacks go to. Policies look at pods, whose port may be another one than their Service's. */ -}}
{{- define "ecg-render.network.callbacks" -}}
{{- if .Values.networkPolicy.service.callbacks }}
- to: {{- toYaml .Values.networkPolicy.service.callbacks | nindent 4 }}
{{- else }}
{{- with .Values.service.callbackUrl }}
{{- $url := include "ecg-render.network.callbackUrl" $ | fromJson }}
{{- $there := include "ecg-render.network.host" (dict "host" $url.host "namespace" $.Release.Namespace) }}
{{- if or $there (not $url.public) }}
# {{ . }}
- to:
    {{- if $there }}
    - {{ $there }}
    {{- else }}
    - ipBlock: {cidr: 0.0.0.0/0, except: [169.254.0.0/16]}
    - ipBlock: {cidr: "::/0", except: ["fe80::/10", "fd00:ec2::/32"]}
    {{- end }}
  {{- if not (contains "namespaceSelector" $there) }}
  ports:
    - {protocol: TCP, port: {{ $url.port }}}
  {{- end }}
{{- end }}
{{- end }}
{{- range .Values.service.callbackHosts }}
{{- with include "ecg-render.network.host" (dict "host" . "namespace" $.Release.Namespace) }}
- to:
    - {{ . }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

set -eu
LC_ALL=C
PATH="$PATH:/var/lib/rancher/rke2/bin"
KUBECONFIG=/etc/rancher/rke2/rke2.yaml
export LC_ALL PATH KUBECONFIG
command -v kubectl >/dev/null || { echo "kubectl is not on this node; is it one of the control plane?" >&2; exit 127; }
change() {
  kubectl patch 'rke2controlplanes.v1beta1.controlplane.cluster.x-k8s.io' 'oneks-24' --namespace=default --type=merge --request-timeout=60s --patch="$1" </dev/null
}
template=$(kubectl get 'rke2controlplanes.v1beta1.controlplane.cluster.x-k8s.io' 'oneks-24' --namespace=default --ignore-not-found --request-timeout=60s \
  -o jsonpath='{.spec.machineTemplate.infrastructureRef.name}' </dev/null)
if [ "$template" = 'oneks-24-cp-d4460ee8' ]; then
  change '{"spec":{"replicas":3}}'
else
  # Other nodes are wanted: templates of a new name make Cluster API replace the old ones.
  base64 -d <<'ONEKS_END' | kubectl apply --request-timeout=60s -f -
YXBpVmVyc2lvbjogaW5mcmFzdHJ1Y3R1cmUuY2x1c3Rlci54LWs4cy5pby92MWJldGExCmtpbmQ6IE9ORU1hY2hpbmVUZW1wbGF0ZQptZXRhZGF0YToKICBuYW1lOiAib25la3MtMjQtY3AtZDQ0NjBlZTgiCiAgbmFtZXNwYWNlOiBkZWZhdWx0CiAgbGFiZWxzOgogICAgY2x1c3Rlci54LWs4cy5pby9jbHVzdGVyLW5hbWU6ICJvbmVrcy0yNCIKc3BlYzoKICB0ZW1wbGF0ZToKICAgIHNwZWM6CiAgICAgIHRlbXBsYXRlTmFtZTogIm9uZWtzLTI0LWNwIgo=
ONEKS_END
  change '{"spec":{"machineTemplate":{"infrastructureRef":{"name":"oneks-24-cp-d4460ee8"}},"replicas":3}}'
fi

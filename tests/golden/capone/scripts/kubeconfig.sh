set -eu
LC_ALL=C
PATH="$PATH:/var/lib/rancher/rke2/bin"
KUBECONFIG=/etc/rancher/rke2/rke2.yaml
export LC_ALL PATH KUBECONFIG
command -v kubectl >/dev/null || { echo "kubectl is not on this node; is it one of the control plane?" >&2; exit 127; }
kubectl config view --raw </dev/null

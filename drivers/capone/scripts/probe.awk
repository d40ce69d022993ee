# Turns sections of tab-separated lines into one line of JSON, small enough for the guest agent with a hundred nodes.
function text(s, max,    i, c, out) {
  out = ""
  for (i = 1; i <= length(s) && i <= max; i++) {
    c = substr(s, i, 1)
    if (c == "\\" || c == "\"") out = out "\\" c
    else if (c < " " || c == "\177") out = out " "
    else out = out c
  }
  return "\"" out "\""
}
function number(s) { return s ~ /^[0-9]+$/ && length(s) < 16 ? s : "null" }
function member(name, s, max) { return s == "" ? "" : ",\"" name "\":" text(s, max) }
function flag(name, s) { return s == "" || s == "false" ? "" : ",\"" name "\":true" }
function machine_end(    out) {
  if (m == "") return
  out = "{\"name\":" text(m, 80) member("phase", phase, 20) member("version", version, 40)
  out = out member("provider", provider, 40) member("node", node, 80) flag("deleting", deleting)
  if (ready_status != "True" && messages < 8) {
    out = out member("reason", reason, 60) member("message", message, 200)
    messages++
  }
  if (node in node_line) out = out node_line[node]
  machines = machines (machines == "" ? "" : ",") out "}"
  m = ""
}
function condition_end() {
  if (c_type == "") return
  if (c_status != "True" && shown < 8) {
    conditions = conditions (conditions == "" ? "" : ",") "{\"type\":" text(c_type, 60) ",\"status\":" text(c_status, 10)
    conditions = conditions member("reason", c_reason, 60) member("message", c_message, 200) "}"
    shown++
  }
  c_type = ""
}
/^#(cluster|group|conditions|nodes|machines|known|vms)$/ { section = substr($0, 2); next }
section == "cluster" && !cluster_seen && $0 != "" {
  cluster = "{\"phase\":" text($1, 20) flag("paused", $2) flag("deleting", $3) "}"
  cluster_seen = 1
}
section == "group" {
  if (group_seen) { failure = failure " " $0; next }
  if ($0 == "") next
  group_seen = 1
  group = "{\"generation\":" number($1) ",\"observed\":" number($2) ",\"wanted\":" number($3)
  group = group ",\"replicas\":" number($4) ",\"updated\":" number($5) ",\"ready\":" number($6)
  group = group ",\"unavailable\":" number($7) member("version", $8, 40) member("phase", $9, 20) flag("deleting", $10)
  failure = $11
}
section == "conditions" {
  if (NF >= 4 && $2 ~ /^(True|False|Unknown)$/) {
    condition_end()
    c_type = $1; c_status = $2; c_reason = $3; c_message = $4
  } else if (c_type != "") c_message = c_message " " $0
}
section == "nodes" && NF >= 4 {
  stands[$1] = stands[$3] = 1
  node_line[$1] = member("kubelet", $2, 40) member("node_provider", $3, 40) flag("ready", $4 == "True" ? "true" : "")
}
section == "machines" {
  if (NF >= 9) {
    machine_end()
    m = $1; phase = $2; version = $3; provider = $4; node = $5; deleting = $6
    ready_status = $7; reason = $8; message = $9
  } else if (m != "") message = message " " $0
}
section == "known" { stands[$0] = 1 }
section == "vms" && NF == 2 && $1 ~ /^[0-9]+$/ {
  asked = 1
  if (!($2 in stands) && !(("one://" $1) in stands)) forgotten = forgotten (forgotten == "" ? "" : ",") $1
}
END {
  condition_end()
  machine_end()
  if (group_seen) group = group member("failure", failure, 300) "}"
  if (asked) forgotten = ",\"forgotten\":[" forgotten "]"
  printf "{\"cluster\":%s,\"group\":%s,\"conditions\":[%s],\"machines\":[%s]%s}\n", \
    (cluster == "" ? "null" : cluster), (group == "" ? "null" : group), conditions, machines, forgotten
}

# Starts, kills and asks drover's processes for scripts/demo and tests/e2e; sourced, not run.
# The caller sets: run (a directory), bin (the programs), net (the first three numbers of a loopback
# network), and keeps every server it starts inside them. It may set: http_port, agents_port (of
# droverd), other_host (an address under which droverd is known besides).
# shellcheck shell=bash disable=SC2154

checks=0
failures=0
http_port=${http_port:-8443}
agents_port=${agents_port:-6325}
server=https://$net.1:$http_port
export DROVER_CONFIG=$run/operator.json

check() {  # check "what must hold" command...
  local what=$1
  shift
  checks=$((checks + 1))
  if "$@"; then say "  ok    $what"; else
    failures=$((failures + 1))
    say "  FAIL  $what"
  fi
}

wait_until() {  # wait_until SECONDS WHAT command...: polls a condition with a deadline
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    if [ $SECONDS -ge $deadline ]; then
      say "  gave up waiting for: $what"
      return 1
    fi
    sleep 0.05
  done
}

process_gone() { ! kill -0 "$1" 2>/dev/null; }

stop_pid() {  # stop_pid FILE: ends the process named in it and waits until it is gone
  local pid
  pid=$(cat "$1" 2>/dev/null) || return 0
  kill "$pid" 2>/dev/null || true
  wait_until 10 "process $pid ends" process_gone "$pid" || kill -9 "$pid" 2>/dev/null || true
  rm -f "$1"
}

kill_hard() {  # kill_hard NAME: SIGKILL, by process id
  local pid
  pid=$(cat "$run/pids/$1")
  kill -9 "$pid"
  wait_until 5 "$1 is gone" process_gone "$pid"
  say "  killed $1 with SIGKILL (process $pid)"
}

loop_of() {  # loop_of IMAGE: attaches a loop device and remembers it; fails where there are none
  local device
  device=$(losetup --find --show --direct-io=on "$1" 2>/dev/null) \
    || device=$(losetup --find --show "$1" 2>/dev/null) || return 1
  blockdev --setrw "$device"  # a fence sets read-only, and a loop device keeps that when it is reused
  echo "$device" >>"$run/loops"
  echo "$device"
}

take_down() {  # ends everything that this or an interrupted run left behind in $run
  local file mounted
  for file in "$run"/pids/* "$run"/*/guards/*.pid "$run"/*/*/guards/*.pid; do
    [ -e "$file" ] && stop_pid "$file"
  done
  for file in "$run"/*/jobs/*-source; do  # block tracking outlives its agent on purpose
    [ -d "$file" ] && rm -rf /sys/fs/bpf/drover/"$(basename "$file" -source)"-*
  done
  while read -r mounted; do umount "$mounted"; done < <(awk -v run="$run/" \
    'index($2, run) == 1 {print $2}' /proc/mounts | sort -r)
  if [ -e "$run/loops" ]; then
    while read -r loop; do
      blockdev --setrw "$loop" 2>/dev/null || true
      losetup -d "$loop" 2>/dev/null || true
    done <"$run/loops"
    rm -f "$run/loops"
  fi
}

start_droverd() {
  "$bin/droverd" run --state "$run/mgmt" --listen-http "$net.1:$http_port" \
    --listen-agents "$net.1:$agents_port" </dev/null >>"$run/logs/droverd.log" 2>&1 &
  echo $! >"$run/pids/droverd"
  disown
}

init_droverd() {  # a new management server, started, and an operator signed in; sets pin
  mkdir -p "$run"/{pids,logs}
  "$bin/droverd" init --state "$run/mgmt" --host "$net.1" ${other_host:+--host "$other_host"} \
    >"$run/logs/init.txt"
  pin=$(grep -oE '[0-9a-f]{64}' "$run/logs/init.txt" | head -n 1)
  start_droverd
  wait_until 20 "droverd answers" sign_in
}

sign_in() {
  "$bin/drover" login --server "$server" --ca-pin "$pin" --token-file "$run/mgmt/api-token" \
    >/dev/null 2>&1
}

configure_agent() {  # configure_agent NAME ADDRESS ROLE [HOOK=PATH...]: its configuration file
  local name=$1 address=$2 role=$3 hook
  shift 3
  {
    echo "name = \"$name\""
    echo "server = \"$net.1:$agents_port\""
    echo "state = \"$run/$name\""
    echo "roles = [\"$role\"]"
    echo "[listen]"
    echo "host = \"$address\""
    echo "[hooks]"
    for hook in "$@"; do echo "${hook%%=*} = \"${hook#*=}\""; done
  } >"$run/$name.toml"
}

enroll_agent() {  # enroll_agent NAME
  "$bin/drover" agent token "$1" --out "$run/$1.token" >/dev/null 2>&1
  "$bin/drover-agent" enroll --config "$run/$1.toml" --server "$server" --ca-pin "$pin" \
    --token-file "$run/$1.token"
}

start_agent() {  # start_agent NAME
  "$bin/drover-agent" run --config "$run/$1.toml" </dev/null >>"$run/logs/$1.log" 2>&1 &
  echo $! >"$run/pids/$1"
  disown
}

agents_connected() {  # agents_connected COUNT
  [ "$("$bin/drover" agent list -o json 2>/dev/null |
    jq '[.items[] | select(.connected)] | length' 2>/dev/null)" = "$1" ]
}

job_field() { "$bin/drover" job show "$job" -o json 2>/dev/null | jq -r "$1"; }
job_is() { [ "$(job_field "$1")" = true ]; }

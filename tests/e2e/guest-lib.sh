# Starts guests for tests/e2e/guest and runs commands in them, over a virtio-serial port; sourced.
# The caller has sourced scripts/harness.sh and sets: image (a directory of tests/e2e/guest-image).
# shellcheck shell=bash disable=SC2154

patience=${DROVER_PATIENCE:-2}
guest_memory_mib=768
guest_now=   # the guest that in_guest talks to
command_number=0

soon() {  # soon SECONDS WHAT command...: wait_until, with the deadline times DROVER_PATIENCE
  wait_until $(($1 * patience)) "${@:2}"
}

not() { ! "$@"; }

start_guest() {  # start_guest NAME DB_IMAGE RAW_IMAGE: in_guest talks to it from now on
  local name=$1 disk number=0 drives=()
  for disk in root="$image/root.img",snapshot=on tools="$run/tools.img",readonly=on db="$2" raw="$3"; do
    drives+=(-drive "if=none,id=disk$number,format=raw,discard=unmap,file=${disk#*=}"
      -device "virtio-blk-pci,drive=disk$number,serial=drover-${disk%%=*}")
    number=$((number + 1))
  done
  mkfifo "$run/$name.in" "$run/$name.out"
  talk_to "$name"
  TMPDIR=$run nice -n 5 qemu-system-x86_64 -name "$name" -nodefaults -no-user-config -display none \
    -accel tcg,thread=multi,tb-size=256 -cpu Westmere -smp 2 -m $guest_memory_mib \
    -kernel "$image/vmlinuz" -initrd "$image/initrd" \
    -append 'root=LABEL=drover-root rw console=ttyS0 net.ifnames=0 mitigations=off' \
    -serial "file:$run/logs/$name.console" -device virtio-rng-pci "${drives[@]}" \
    -netdev user,id=net,ipv6=off -device virtio-net-pci,netdev=net,romfile= \
    -device virtio-serial-pci -chardev "pipe,id=shell,path=$run/$name" \
    -device virtserialport,chardev=shell,name=test.shell \
    </dev/null >>"$run/logs/$name.qemu" 2>&1 7>&- 8>&- &
  echo $! >"$run/pids/guest-$name"
  disown
}

talk_to() {  # talk_to NAME: what in_guest means from now on
  exec 7<>"$run/$1.in" 8<>"$run/$1.out"
  guest_now=$1
}

stop_guest() {  # stop_guest NAME: like a power cut
  stop_pid "$run/pids/guest-$1"
  rm -f "$run/$1.in" "$run/$1.out"
}

stop_guests() {
  local file
  for file in "$run"/pids/guest-*; do
    [ ! -e "$file" ] || stop_guest "$(basename "$file" | cut -c7-)"
  done
}

in_guest() {  # in_guest SECONDS COMMAND: its output, both channels, and its status; 124: no answer
  local deadline=$((SECONDS + $1 * patience)) number status output
  # A file, because this function also runs in subshells; an answer to an older command is passed over.
  command_number=$(($(cat "$run/command-number" 2>/dev/null || echo 0) + 1))
  echo $command_number >"$run/command-number"
  printf '%s %s\n' $command_number "$(printf %s "$2" | base64 -w0)" >&7
  while [ $SECONDS -lt $deadline ]; do
    read -r -t $((deadline - SECONDS)) -u 8 number status output || break
    [ "$number" = $command_number ] || continue
    printf %s "$output" | base64 -d
    return "$status"
  done
  say "  the guest $guest_now did not answer in time: $2" | head -n 3 >&2
  return 124
}

to_guest() {  # to_guest FILE PATH: a small one
  in_guest 20 "base64 -d >$2 <<<'$(base64 -w0 <"$1")'"
}

guest_answers() { in_guest 10 true 2>/dev/null; }
guest_has_started() { in_guest 10 'test "$(systemctl is-system-running)" = running' 2>/dev/null; }

make_tools() {  # make_tools IMAGE: drover and the workload, for the guest to mount and set up
  local from=$run/tools
  mkdir -p "$from"
  cp "$bin/drover-agent" "$bin/live-writer" packaging/drover-agent.service "$from"
  strip -o "$from/overlay-test" "$bin/../tests/agent/agent_test_run_test"
  cat >"$from/agent.toml" <<T
name = "source-host"
server = "$other_host:$agents_port"
state = "/var/lib/drover-agent"
roles = ["source"]
[hooks]
stop-shop = "/etc/drover/hooks/stop-shop"
start-shop = "/etc/drover/hooks/start-shop"
[hook_limits]
timeout_s = 300
T
  # PostgreSQL is ended as a crash would end it, so that the copy has something to recover.
  cat >"$from/stop-shop" <<'H'
#!/bin/sh
set -eu
systemctl mask -q --now raw-writer.service 2>/dev/null || systemctl stop raw-writer.service
systemctl mask -q postgresql@15-main.service var-lib-postgresql.mount
systemctl kill --signal=SIGQUIT --kill-whom=main postgresql@15-main.service 2>/dev/null || true
systemctl stop postgresql@15-main.service var-lib-postgresql.mount
tries=0
while systemctl is-active -q load.service; do
  tries=$((tries + 1)); [ $tries -lt 600 ] || exit 1; sleep 0.1
done
# The initramfs may assemble it too, and was made before there was a rule against it.
vgs shop >/dev/null 2>&1 || exit 0
vgchange -q --setautoactivation n shop
vgchange -q -an shop
H
  cat >"$from/start-shop" <<'H'
#!/bin/sh
set -eu
vgchange -q -ay shop
vgchange -q --setautoactivation y shop
systemctl unmask -q postgresql@15-main.service var-lib-postgresql.mount
systemctl start var-lib-postgresql.mount postgresql@15-main.service
H
  cat >"$from/schema.sql" <<'Q'
create table orders (client int, n int, at timestamptz default now(), primary key (client, n));
Q
  # What pgbench does by itself, and a row that says which transaction of which client it was.
  cat >"$from/order.sql" <<'Q'
\set n :n + 1
\set aid random(1, 100000)
\set bid 1
\set tid random(1, 10)
\set delta random(-5000, 5000)
begin;
update pgbench_accounts set abalance = abalance + :delta where aid = :aid;
update pgbench_tellers set tbalance = tbalance + :delta where tid = :tid;
update pgbench_branches set bbalance = bbalance + :delta where bid = :bid;
insert into pgbench_history (tid, bid, aid, delta, mtime) values (:tid, :bid, :aid, :delta, now());
insert into orders (client, n) values (:client_id, :n);
commit;
Q
  cat >"$from/setup" <<'H'
#!/bin/sh
set -eu
install -m 755 /tools/drover-agent /usr/bin/
install -m 644 /tools/drover-agent.service /usr/lib/systemd/system/
install -d /etc/drover/hooks
install -m 644 /tools/agent.toml /etc/drover/
install -m 755 /tools/stop-shop /tools/start-shop /etc/drover/hooks/
install -d -o postgres /acked
systemctl daemon-reload
H
  chmod 755 "$from/setup"
  truncate -s 128M "$1"
  mke2fs -q -t ext4 -L drover-tools -d "$from" "$1"
}

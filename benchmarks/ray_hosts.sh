#!/bin/sh
# Two "hosts" in network namespaces, each with one core of Ray, and rejudge on both: ray_hosts.sh CONFIG ARTIFACT
# Needs root, iproute2 and the extra ray. Each host has room for one worker, so both judge. Prints the command's JSON.
set -eu
config=$1 artifact=$2 bin=$(dirname "$(command -v weld-inspect)")
work=$(mktemp -d) a=weldray-a-$$ b=weldray-b-$$
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN RAY_USAGE_STATS_ENABLED=0 RAY_worker_niceness=0
export RAY_worker_register_timeout_seconds=300
RAY_AUTH_TOKEN=$(python3 -c 'import secrets; print(secrets.token_hex(32))')
pids=
end() {
    for pid in $pids; do kill "$pid" 2>/dev/null || true; done
    wait || true
    ip netns del $a; ip netns del $b
    rm -rf "$work"
}
trap end EXIT
for host in $a $b; do ip netns add $host; ip -n $host link set lo up; done
ip link add veth0 netns $a type veth peer name veth0 netns $b
ip -n $a addr add 10.77.0.1/24 dev veth0; ip -n $a link set veth0 up
ip -n $b addr add 10.77.0.2/24 dev veth0; ip -n $b link set veth0 up

ip netns exec $a "$bin/ray" start --head --block --port=6379 --node-ip-address=10.77.0.1 --num-cpus=1 \
    --include-dashboard=false --object-store-memory=100000000 --temp-dir="$work/a" >"$work/a.log" 2>&1 &
pids="$pids $!"
until ip netns exec $a ss -ltn | grep -q :6379; do kill -0 "${pids##* }"; sleep 1; done
ip netns exec $b "$bin/ray" start --block --address=10.77.0.1:6379 --node-ip-address=10.77.0.2 --num-cpus=1 \
    --object-store-memory=100000000 >"$work/b.log" 2>&1 &
pids="$pids $!"
# A program without the token is refused.
if ip netns exec $b env RAY_AUTH_TOKEN=wrong "$bin/ray" status --address=10.77.0.1:6379 >"$work/wrong" 2>&1; then
    echo "a wrong token was accepted" >&2; exit 1
fi
tail -n 1 "$work/wrong" >&2
until ip netns exec $a "$bin/ray" status --address=10.77.0.1:6379 2>/dev/null | grep -q '/2.0 CPU'; do sleep 1; done
ip netns exec $a "$bin/weld-inspect" rejudge --config "$config" --artifact "$artifact" --json \
    --engine ray --address 10.77.0.1:6379 --workers 2 --work "$work/answers"

#!/bin/bash
# Delays one network namespace twice: by 30 ms for 2 s, and by 60 ms for 8 s. The
# end of the first delay must leave the second in place; to refuse the second,
# and name the owner of the first, is right, too. Needs root, Linux and ip.
# MICROSIM is the program, kubectl-microsim by default.
set -eu
microsim=${MICROSIM:-kubectl-microsim}
ns=microsim-case
d=$(mktemp -d)
ip netns del $ns 2>/dev/null || true
ip link del msc-a 2>/dev/null || true
ip netns add $ns
trap 'ip link del msc-a 2>/dev/null || true; ip netns del $ns; rm -rf "$d"' EXIT
ip link add msc-a type veth peer name msc-b netns $ns
ip addr add 10.99.5.1/24 dev msc-a
ip link set msc-a up
ip -n $ns addr add 10.99.5.2/24 dev msc-b
ip -n $ns link set msc-b up
ip -n $ns link set lo up

# round_trip prints how many ms a refused connection takes, which is one round
# trip: the least of five.
round_trip() {
  local start ms least=9999
  for _ in 1 2 3 4 5; do
    start=$(date +%s%N)
    (exec 3<>/dev/tcp/10.99.5.2/9) 2>/dev/null || true
    ms=$((($(date +%s%N) - start) / 1000000))
    [ "$ms" -ge "$least" ] || least=$ms
  done
  echo "$least"
}

round_trip >/dev/null # so that the address of the other end is known
apply() { "$microsim" agent net apply --netns $ns --fault net-delay "$@"; }
apply --delay 30ms --for 2s >/dev/null &
first=$!
sleep 0.7
apply --delay 60ms --for 8s >/dev/null 2>"$d/talk" &
second=$!
sleep 3
if ! kill -0 $second 2>/dev/null && ! wait $second; then
  cat "$d/talk"
  echo "the second delay was refused; right if the line above names the owner of the first"
  grep -qi owner "$d/talk"
  exit
fi
took=$(round_trip)
kill $second
wait $first $second || true
echo "with the second delay alone, a round trip took $took ms; 60 is right"
[ "$took" -ge 58 ] && [ "$took" -le 66 ]

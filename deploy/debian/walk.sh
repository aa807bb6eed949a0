#!/bin/sh
# A maintenance engineer's walk with the package in a clean Debian: install, inspect, upgrade, go back, remove, purge.
# 'make deb-try' runs it as root in a root that it throws away, with the package and frames in /try. The first line that
# does not hold ends it with its status. systemd does not run there, so this starts the station as its unit would.
set -eu
cd /try
export DEBIAN_FRONTEND=noninteractive TERM=dumb
STATION=/srv/weldnet/station
CONFIG=$STATION/config.yaml
AS_SERVICE="setpriv --reuid weldnet --regid weldnet --init-groups --no-new-privs --bounding-set=-all --inh-caps=-all"
START=$(date +%s)

line() { echo "== $(($(date +%s) - START)) s: $*"; }
same() { [ "$1" = "$2" ] || { echo "expected: $2"; echo "found:    $1"; exit 1; }; }
absent() { for path in "$@"; do [ ! -e "$path" ] || { echo "is still there: $path"; exit 1; }; done; }
apt() { apt-get -qq -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold "$@" </dev/null; }
version() { dpkg-query --show --showformat='${Version}' weldnet-station; }
groups_of() { id -nG "$1" | xargs -n 1 | sort | xargs; }
access() { stat --format '%a %U:%G' "$1"; }
as_service() { (umask 027 && $AS_SERVICE "$@"); }
wrong() { # what the check finds; the socket for verdicts is systemd's
    as_service weld-inspect check --config $CONFIG --camera-user camera | sed -n 's/^WRONG *\([a-z]*\).*/\1/p' | xargs
}
counts() { as_service weld-inspect reconcile --json --config $CONFIG; }
images() { find $STATION/archive -type f -exec sha256sum {} + | sort; }

line "the package installs with its dependencies"
apt install ./weldnet-station_*.deb
same "$(weld-inspect --version)" "weld-inspect $(version)"

line "users, groups, folders and settings are there, and no service starts by itself"
same "$(groups_of weldnet)" "camera weldnet"
same "$(groups_of weldnet-console)" "weld-review weldnet weldnet-console"
same "$(access /srv/weldnet/drop)" "2770 weldnet:camera"
same "$(access $STATION)" "750 weldnet:weldnet"
same "$(access /etc/weldnet)" "750 root:weldnet"
same "$(readlink $CONFIG)" /etc/weldnet/config.yaml
for unit in weldnet-inspector.service weldnet-console.service weldnet-forward.service weldnet-report.timer \
    weld-inspect-prune.timer; do
    same "$(systemctl is-enabled $unit)" disabled
done
same "$(systemctl is-enabled weldnet-review.socket)" enabled
systemd-tmpfiles --create weldnet.conf weldnet-config.conf # as each start of the machine does
systemd-analyze verify --man=no /lib/systemd/system/weld*.service /lib/systemd/system/weld*.timer \
    /lib/systemd/system/weld*.socket

line "with an artifact, the check has nothing against a station that was named in /etc, but for the socket"
sed -i 's/^station: .*/station: cell-7/' /etc/weldnet/config.yaml
install -o weldnet -g weldnet -m 0640 /opt/weldnet/venv/lib/python3*/site-packages/inspector/_data/deploy/demo/*.pt \
    $STATION/weldnet.pt
id camera >/dev/null || useradd --create-home --gid camera camera
systemctl enable --quiet weldnet-inspector.service
same "$(wrong)" people

line "the unit's command, as its user without any right, inspects what the camera's account delivers"
for frame in frames/*/*/*.png; do install -o camera -g camera -m 0640 "$frame" /srv/weldnet/drop; done
command=$(sed -n 's/^ExecStart=//p' /lib/systemd/system/weldnet-inspector.service)
(umask 027 && exec $AS_SERVICE $command) &
until [ -z "$(ls /srv/weldnet/drop)" ]; do
    kill -0 $!
    sleep 1
done
kill -TERM $!
wait $!
images >images
same "$(wc -l <images)" "$(find frames -name '*.png' | wc -l)"
counts >counts
cat counts
grep -q '"unaccounted": 0' counts

line "an upgrade keeps edited settings, enabled units and all rows, and upgrades an older schema"
dpkg-deb --raw-extract weldnet-station_*.deb next
sed -i 's/^Version: .*/&+next/' next/DEBIAN/control
echo "# a new line of a new version" >>next/etc/weldnet/config.yaml
dpkg-deb -Zzstd -z1 --build next next.deb
rm -r next
as_service /opt/weldnet/venv/bin/python - <<PYTHON
from alembic import command
from inspector.ledger import database
with database.transaction(database.immediate(database.engine("sqlite:///$STATION/quality.db"))) as ledger:
    command.downgrade(database.alembic_config(ledger), "-1")
PYTHON
same "$(wrong)" "database people"
apt install ./next.deb
same "$(version)" "$(weld-inspect --version | cut -d' ' -f2)+next"
grep -q '^station: cell-7' /etc/weldnet/config.yaml
grep -q '^# a new line' /etc/weldnet/config.yaml.dpkg-dist
same "$(systemctl is-enabled weldnet-inspector.service)" enabled
same "$(wrong)" people
same "$(counts)" "$(cat counts)"

line "the way back to the first version keeps them, too"
apt install --allow-downgrades ./weldnet-station_*.deb
same "$(weld-inspect --version)" "weld-inspect $(version)"
same "$(counts)" "$(cat counts)"

line "a removal takes the program, and leaves settings and data"
apt remove weldnet-station
absent /opt/weldnet /usr/bin/weld-inspect /lib/systemd/system/weldnet-inspector.service
grep -q '^station: cell-7' $CONFIG
same "$(images)" "$(cat images)"
apt install ./weldnet-station_*.deb
same "$(counts)" "$(cat counts)"

line "a purge takes settings and caches, and leaves images, database, artifact, reports and users"
touch /etc/weldnet/pgpassword
mkdir -p /var/cache/weldnet
apt purge weldnet-station
absent /etc/weldnet /var/cache/weldnet /opt/weldnet /usr/bin/weld-inspect $CONFIG
absent /etc/systemd/system/multi-user.target.wants/weldnet-inspector.service /lib/systemd/system/weldnet-inspector.service
test -f $STATION/quality.db -a -f $STATION/weldnet.pt
same "$(images)" "$(cat images)"
id weldnet >/dev/null

line "a new installation after a purge finds them all"
apt install ./weldnet-station_*.deb
sed -i 's/^station: .*/station: cell-7/' /etc/weldnet/config.yaml
same "$(counts)" "$(cat counts)"

line "all lines hold"

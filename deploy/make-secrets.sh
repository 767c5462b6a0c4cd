#!/usr/bin/env bash
# Makes what the cluster shares and nobody else may know: ./make-secrets.sh NAME [USER]
#   NAME  the registry's public name, as in docker pull NAME/image
#   USER  who may log in; the password is asked for, or is the first line of standard input
# Run again, it makes what is missing and leaves what is there. So a certificate is renewed by moving secrets/node/node.crt away,
# and one of a public authority is used by putting it there first, with node.key beside it and its authority's as
# secrets/berth/ca.crt. RUN_AS=UID:GID says as whom the containers run; default: whoever runs this, and 10001:10001 for root.
set -euo pipefail
umask 077
cd "$(dirname "$0")"

say() { printf '%s\n' "$*"; }
fail() { printf 'make-secrets: %s\n' "$*" >&2; exit 1; }

[ $# -ge 1 ] && [ $# -le 2 ] || fail 'call it with the public name of the registry and, if you like, a user: ./make-secrets.sh registry.example.com alice'
name=$1
user=${2:-}
[[ $name =~ ^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$ || $name =~ ^[0-9a-fA-F:]+:[0-9a-fA-F:]*$ ]] ||
  fail "$name is no host name; leave a port out"
[[ $user =~ ^[A-Za-z0-9._@-]*$ ]] || fail "a user's name is of letters, digits and . _ @ -"
command -v openssl >/dev/null || fail 'there is no openssl: apt-get install openssl'
command -v htpasswd >/dev/null ||
  fail 'there is no htpasswd, and registry:2 has none either: apt-get install apache2-utils (Debian, Ubuntu), dnf install httpd-tools (Fedora, RHEL)'

node=secrets/node ca=secrets/ca balancer=secrets/berth htpasswd=secrets/node/htpasswd

# Before anything is made: an answer that is missing then leaves nothing half done.
password=''
has_user() { [ -e "$htpasswd" ] && cut -d: -f1 "$htpasswd" | grep -qxF -e "$1"; }
if [ -n "$user" ] && ! has_user "$user"; then
  if [ -t 0 ]; then
    read -rsp "Password for $user: " password && echo
    read -rsp 'Once more: ' again && echo
    [ "$password" = "$again" ] || fail 'the two are not the same'
  else
    IFS= read -r password || :
  fi
  [ -n "$password" ] || fail "no password for $user"
  # bcrypt sees no more than 72 bytes, and htpasswd says nothing.
  [ "$(printf %s "$password" | wc -c)" -le 72 ] || fail 'a password has 72 bytes at most'
fi

mkdir -p secrets
drafts=$(mktemp -d secrets/draft.XXXXXX)
trap 'rm -rf "$drafts"' EXIT

setting() { # setting KEY VALUE: in .env, where it has none; says what it has
  if ! grep -qs "^$1=" .env; then
    # The last line of an edited file may lack its end.
    if [ -s .env ] && [ -n "$(tail -c 1 .env)" ]; then echo >>.env; fi
    printf '%s=%s\n' "$1" "$2" >>.env
    say ".env: $1" >&2
  fi
  sed -n "s/^$1=//p" .env | tail -n 1
}
random() { openssl rand -hex 24; }
keep() { # keep DRAFT FILE: whole or not at all
  mv "$drafts/$1" "$2"
  say "$2"
}

default=$(id -u):$(id -g)
if [ "$(id -u)" -eq 0 ]; then default=10001:10001; fi
run_as=$(setting RUN_AS "${RUN_AS:-$default}")
[[ $run_as =~ ^[0-9]+:[0-9]+$ ]] || fail "RUN_AS is UID:GID, in numbers, and not $run_as (.env)"
if [ "$(id -u)" -ne 0 ] && [ "$run_as" != "$(id -u):$(id -g)" ]; then
  fail "only root can make files for RUN_AS=$run_as (.env)"
fi
setting HTTP_SECRET "$(random)" >/dev/null
redis_password=$(setting REDIS_PASSWORD "$(random)")
storage=$(setting STORAGE "$PWD/data/registry")

mkdir -p "$node" "$ca" "$balancer" secrets/redis secrets/grafana data/berth data/prometheus data/grafana
if [ "$storage" = "$PWD/data/registry" ]; then mkdir -p "$storage"; fi

extensions() { # a configuration of our own: the machine's openssl.cnf may add to it
  printf '[req]\ndistinguished_name=dn\nprompt=no\n[dn]\nCN=%s\n[ext]\n%s\n' "$1" "$2" >"$drafts/openssl.cnf"
}
make_key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$drafts/key" 2>/dev/null && keep key "$1"; }

need_ca() {
  if [ -e "$ca/ca.crt" ] && [ -e "$ca/ca.key" ]; then return; fi
  [ ! -e "$ca/ca.crt" ] || fail "$ca/ca.key is needed to sign with; bring it back"
  extensions "$name CA" $'basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash'
  if [ ! -e "$ca/ca.key" ]; then make_key "$ca/ca.key"; fi
  openssl req -new -x509 -sha256 -days 3650 -config "$drafts/openssl.cnf" -extensions ext -key "$ca/ca.key" -out "$drafts/crt"
  chmod 644 "$drafts/crt"
  keep crt "$ca/ca.crt"
}

if [ ! -e "$node/node.crt" ]; then
  need_ca
  if [ ! -e "$node/node.key" ]; then make_key "$node/node.key"; fi
  kind=DNS
  if [[ $name =~ ^[0-9.]+$ || $name == *:* ]]; then kind=IP; fi
  # Docker and all of Go look at subjectAltName alone.
  extensions "$name" "subjectAltName=$kind:$name"$'\nbasicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth'
  openssl req -new -config "$drafts/openssl.cnf" -key "$node/node.key" -out "$drafts/csr"
  openssl x509 -req -sha256 -days 825 -in "$drafts/csr" -CA "$ca/ca.crt" -CAkey "$ca/ca.key" -set_serial "0x$(openssl rand -hex 16)" \
    -extfile "$drafts/openssl.cnf" -extensions ext -out "$drafts/crt" 2>/dev/null
  chmod 644 "$drafts/crt"
  keep crt "$node/node.crt"
fi
if [ ! -e "$balancer/ca.crt" ]; then
  need_ca
  install -m 644 "$ca/ca.crt" "$drafts/crt"
  keep crt "$balancer/ca.crt"
fi
purpose=-verify_hostname
if [[ $name =~ ^[0-9.]+$ || $name == *:* ]]; then purpose=-verify_ip; fi
openssl verify -CAfile "$balancer/ca.crt" -untrusted "$node/node.crt" $purpose "$name" "$node/node.crt" >"$drafts/verified" 2>&1 ||
  fail "$node/node.crt is no good for $name. Move it away, and run this again.
$(cat "$drafts/verified")"
[ "$(openssl x509 -in "$node/node.crt" -noout -pubkey)" = "$(openssl pkey -in "$node/node.key" -pubout)" ] ||
  fail "$node/node.key is not the key of $node/node.crt"

if [ ! -e secrets/redis/redis.conf ]; then
  printf 'requirepass %s\n' "$redis_password" >"$drafts/redis.conf"
  keep redis.conf secrets/redis/redis.conf
fi

if [ ! -e secrets/grafana/admin-password ]; then
  random >"$drafts/admin-password"
  keep admin-password secrets/grafana/admin-password
fi

add_user() { # add_user NAME, its password on standard input
  htpasswd -niB "$1" | sed '/^$/d' >"$drafts/line"
  cat "$drafts/line" >>"$htpasswd"
  say "$htpasswd: $1"
}
if [ ! -e "$balancer/probe-password" ]; then
  ! has_user berth || fail "$balancer/probe-password is lost: take berth's line out of $htpasswd, and run this again"
  random >"$drafts/probe-password"
  keep probe-password "$balancer/probe-password"
fi
has_user berth || add_user berth <"$balancer/probe-password"
if [ -n "$password" ]; then
  add_user "$user" <<<"$password"
elif [ -n "$user" ]; then
  say "$htpasswd has $user already; another password: htpasswd -B $htpasswd $user"
fi

# Each container sees its own folder alone. The authority's key stays with whoever runs this.
if [ "$(id -u)" -eq 0 ]; then
  chown -R "$run_as" "$node" "$balancer" secrets/redis secrets/grafana
  chown "$run_as" data/*
fi
say "good until $(openssl x509 -in "$node/node.crt" -noout -enddate | cut -d= -f2): $node/node.crt, for $name"

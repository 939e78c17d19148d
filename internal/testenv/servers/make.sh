#!/usr/bin/env bash
# Makes servers for tests where no registry of images is reached:
#
#   make.sh kafka DIR            Kafka from Maven Central in DIR, with the scripts of its distribution in DIR/bin
#   make.sh kafka-image IMAGE    an image that starts as the official one does
#   make.sh mongodb DIR          FerretDB as DIR/mongod
#   make.sh mongodb-image IMAGE  an image of it that takes the arguments of the official one
#
# kafka needs Maven and a JDK 17 with jlink, mongodb Go; images need docker, and dash and
# coreutils of this machine, with their libraries.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# kafka makes a directory with the jars and two scripts.
kafka() {
	mkdir -p "$1/bin" "$1/libs"
	mvn --batch-mode --quiet --strict-checksums -f "$here/kafka/pom.xml" dependency:copy-dependencies -DincludeScope=runtime "-DoutputDirectory=$1/libs" >&2
	cp "$here/kafka/log4j.properties" "$1/"
	script "$1" kafka-server-start.sh kafka.Kafka
	script "$1" kafka-storage.sh kafka.tools.StorageTool
}

# script writes one that runs a class.
script() {
	cat >"$1/bin/$2" <<-END
		#!/bin/sh
		home=\$(dirname "\$0")/..
		exec java \${KAFKA_HEAP_OPTS:--Xmx256m} -Dlog4j.configuration="file:\$home/log4j.properties" -cp "\$home/libs/*" $3 "\$@"
	END
	chmod 755 "$1/bin/$2"
}

mongodb() {
	local version=v1.24.2 go=${GO:-go} source
	mkdir -p "$1"
	source=$("$go" mod download -json "github.com/FerretDB/FerretDB@$version" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
	cp -r "$source" "$work/ferretdb"
	chmod -R u+w "$work/ferretdb"
	echo "$version" >"$work/ferretdb/build/version/version.txt" # without it the program does not start
	(cd "$work/ferretdb" && CGO_ENABLED=0 GOFLAGS=-trimpath "$go" build -ldflags '-s -w' -o "$1/ferretdb" ./cmd/ferretdb)
	install -m 755 "$here/mongodb/mongod" "$1/mongod"
}

# put copies programs into a root directory, with the libraries that they need.
put() {
	local root=$1 program path library
	shift
	for program in "$@"; do
		path=$(command -v "$program")
		install -D -m 755 "$path" "$root/usr/bin/$(basename "$program")"
		for library in $(ldd "$path" 2>/dev/null | grep -o '/[^ ]*'); do
			install -D -m 755 "$library" "$root$library"
		done
	done
	mkdir -p "$root/bin"
	ln -sf ../usr/bin/dash "$root/bin/sh"
}

build() {
	rm -rf "$work/ferretdb"
	docker build --quiet --tag "$1" "$work"
}

kafka_image() {
	local root=$work/root
	kafka "$root/opt/kafka"
	put "$root" dash mkdir
	jlink --add-modules java.se,jdk.unsupported,jdk.management,jdk.zipfs,jdk.crypto.ec --strip-debug --no-header-files --no-man-pages --output "$root/opt/java"
	find "$root/opt/java" -type f \( -name '*.so' -o -path '*/bin/*' \) | while read -r file; do
		for library in $( (ldd "$file" 2>/dev/null || true) | grep -o '/[^ ]*' | grep -v "^$root"); do
			install -D -m 755 "$library" "$root$library"
		done
	done
	mkdir -p "$root"/{etc/kafka/docker,mnt/shared/config,var/lib/kafka/data,opt/kafka/config,tmp}
	echo 'appuser:x:1000:1000::/home/appuser:/bin/sh' >"$root/etc/passwd"
	cp "$here/kafka/log4j.properties" "$root/etc/kafka/docker/"
	cp "$here/kafka/log4j.properties" "$root/etc/kafka/docker/tools-log4j.properties"
	install -m 755 "$here/kafka/run" "$root/etc/kafka/docker/run"
	cat >"$work/Dockerfile" <<-'END'
		FROM scratch
		COPY --chown=1000:1000 root /
		ENV PATH=/opt/java/bin:/usr/bin
		USER 1000
		CMD ["/etc/kafka/docker/run"]
	END
	build "$1"
}

mongodb_image() {
	local root=$work/root
	mongodb "$root/usr/bin"
	put "$root" dash
	mkdir -p "$root"/{data/db,data/configdb,tmp}
	cat >"$work/Dockerfile" <<-'END'
		FROM scratch
		COPY root /
		ENV PATH=/usr/bin
		CMD ["mongod"]
	END
	build "$1"
}

case "${1:-} $#" in
'kafka 2') kafka "$2" ;;
'mongodb 2') mongodb "$2" ;;
'kafka-image 2') kafka_image "$2" ;;
'mongodb-image 2') mongodb_image "$2" ;;
*)
	sed -n '2,12s/^# \{0,1\}//p' "$0" >&2
	exit 2
	;;
esac

#!/usr/bin/env bash
# Makes a folder that serves a model on a machine without a JDK: a jlinked Java runtime, the engine, an archive of its
# classes for a fast start, and bin/rhumb, which answers histories from standard input.
#
#   engine/image.sh [--no-vector] [--jfr] FOLDER
#
#   --no-vector   without jdk.incubator.vector: smaller, starts faster, computes on plain loops
#   --jfr         with the Flight Recorder: JAVA_OPTS=-XX:StartFlightRecording:filename=f.jfr FOLDER/bin/rhumb MODEL
#
# The folder can be moved, and copied with its files' times (cp -a, tar); without them it starts more slowly.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)

# The launcher finds the JDK, builds the jars, and comes back with both.
[[ -n ${RHUMB_IMAGE_JARS:-} ]] || exec "$root/rhumb" image "$@"

die() {
  echo "image: $*" >&2
  exit 1
}
usage() {
  echo "usage: engine/image.sh [--no-vector] [--jfr] FOLDER" >&2
  exit 2
}

modules=java.base
vector=--add-modules=jdk.incubator.vector
folder=
for argument in "$@"; do
  case $argument in
    --no-vector) vector= ;;
    --jfr) modules+=,jdk.jfr ;;
    -*) usage ;;
    *)
      [[ -z $folder ]] || usage
      folder=$argument
      ;;
  esac
done
[[ -n $folder ]] || usage
[[ -z $vector ]] || modules+=,jdk.incubator.vector
[[ -x $JAVA_HOME/bin/jlink ]] || die "the JDK in $JAVA_HOME has no jlink; install a whole one, or set JAVA_HOME to one."
[[ ! -e $folder ]] || die "$folder is there already; take it away, or name another folder."

mkdir -p "$(dirname "$folder")"
new=$(cd "$(dirname "$folder")" && pwd -P)/.${folder##*/}.new
rm -rf "$new"
trap 'rm -rf "$new"' EXIT
log=$("$JAVA_HOME/bin/jlink" --add-modules "$modules" --strip-java-debug-attributes --no-header-files --no-man-pages \
  --output "$new" 2>&1) || die "jlink failed: $log"
mkdir "$new/lib/rhumb"
for jar in bindings kernels engine; do
  cp "$RHUMB_IMAGE_JARS"/rhumb-$jar-[0-9]*.jar "$new/lib/rhumb/$jar.jar"
done

# On the class path in both kinds: a module that asks for the Vector API does not start without it. Logs of the JVM go to
# standard error, since answers go to standard output.
cat >"$new/bin/rhumb" <<LAUNCHER
#!/bin/sh
# Answers histories from standard input by a model folder. JAVA_OPTS: more flags for java, such as -Xmx256m.
set -e
home=\$(dirname "\$(dirname "\$(readlink -f "\$0")")")
lib=\$home/lib/rhumb
exec "\$home/bin/java" -Xmx64m -XX:+UseSerialGC -Xlog:disable -Xlog:all=warning,jfr+startup=error:stderr $vector \\
  --enable-native-access=ALL-UNNAMED -XX:SharedArchiveFile="\$lib/classes.jsa" \$JAVA_OPTS \\
  -cp "\$lib/bindings.jar:\$lib/kernels.jar:\$lib/engine.jar" dev.rhumb.serve.Main "\$@"
LAUNCHER
chmod +x "$new/bin/rhumb"

# The archive: the classes that an answer takes, parsed and linked. A list of classes rather than an AOT cache, since JDK 25
# leaves the most of a cache out where an incubator module is resolved (its boot layer cannot be archived).
model=$root/engine/core/src/test/resources/formats/1/model
list=$new/lib/rhumb/classes.lst
echo '3 17 40 8' | JAVA_OPTS="-Xshare:off -XX:DumpLoadedClassList=$list" "$new/bin/rhumb" "$model" 2>"$new/log" >"$new/answer" ||
  die "the image does not run: $(cat "$new/log")"
[[ $(wc -w <"$new/answer") == 10 ]] || die "the image answers '$(cat "$new/answer")': $(cat "$new/log")"
JAVA_OPTS="-Xshare:dump -XX:SharedClassListFile=$list" "$new/bin/rhumb" >"$new/log" 2>&1 ||
  die "no archive of classes: $(cat "$new/log")"
rm "$list" "$new/log" "$new/answer"
mv "$new" "$folder"
echo "image: $folder, $(du -sm "$folder" | cut -f1) MB, $modules" >&2

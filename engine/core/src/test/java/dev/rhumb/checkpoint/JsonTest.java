package dev.rhumb.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class JsonTest {
  @TempDir Path folder;

  @Test
  void readsEveryKindOfValue() {
    String text =
        " {\"a\" : [1, -2.5e+1, true, false, null, \"\\u00e9\\n\\ud83d\\ude00\\/\"],\r\n\t\"b\":{} , \"c\":[]} ";
    Map<String, Object> wanted = new LinkedHashMap<>();
    wanted.put("a", Arrays.asList(1L, -25.0, true, false, null, "\u00e9\n\ud83d\ude00/"));
    wanted.put("b", Map.of());
    wanted.put("c", List.of());
    assertEquals(wanted, Json.parse(text, "t"));
    assertEquals(List.of("a", "b", "c"), List.copyOf(((Map<?, ?>) Json.parse(text, "t")).keySet()));
    assertNull(Json.parse("null", "t"));
  }

  @ParameterizedTest
  @CsvSource({
    "0, 0",
    "-0, 0",
    "9223372036854775807, 9223372036854775807",
    "-9223372036854775808, -9223372036854775808",
  })
  void readsIntegers(String text, long wanted) {
    assertEquals(wanted, Json.parse(text, "t"));
  }

  @ParameterizedTest
  @CsvSource({"0.0, 0.0", "-0.0, -0.0", "1e0, 1", "1E-400, 0", "4.9e-324, 4.9e-324", "1e+3, 1000"})
  void readsNumbers(String text, double wanted) {
    assertEquals(wanted, Json.parse(text, "t"));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        " ",
        "{",
        "[",
        "\"",
        "}",
        "]",
        ",",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":1 \"b\":2}",
        "{1:2}",
        "01",
        "-",
        "-a",
        "+1",
        ".5",
        "1.",
        "1.e3",
        "1e",
        "1e+",
        "0x10",
        "NaN",
        "Infinity",
        "-Infinity",
        "tru",
        "truE",
        "nul",
        "True",
        "1 2",
        "{} {}",
        "// c\n1",
        "/* c */1",
        "[1]x",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\u\uff11234\"",
        "\"\t\"",
        "\"\n\"",
        "\"\u0000\"",
        "\u0000",
        "1\u0000",
        "\u00a01",
        "\ufeff1",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800x\"",
        "\"\\ud800\\u0041\"",
        "\"\ud800\"",
        "\"\udc00\"",
        "\"\\ud800\\n\"",
        "\u0661",
        "[\"a\":1]",
        "{\"a\":1,\"a\":2}",
        "{\"a\":1,\"\\u0061\":2}",
        "9223372036854775808",
        "-9223372036854775809",
        "1e309",
        "-1e309",
      })
  void refuses(String text) {
    FormatException refusal = assertThrows(FormatException.class, () -> Json.parse(text, "t"));
    assertTrue(refusal.where().matches("\\d+:\\d+"), refusal.getMessage());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "{@ \"a\": 1,@ \"a\": 2@}|3:2|key \"a\" is given twice",
        "[1,@2,@  x]|3:3|found \"x\" instead of a value",
        "[1|1:3|found the end of the text instead of ',' or ']'",
        "[99999999999999999999]|1:2|integer \"99999999999999999999\" does not fit 64 bits",
      })
  void namesThePlace(String text, String where, String what) {
    FormatException refusal =
        assertThrows(
            FormatException.class, () -> Json.parse(text.replace('@', '\n'), "config.json"));
    assertEquals(where, refusal.where());
    assertEquals(what, refusal.what());
    assertEquals("config.json", refusal.file());
    assertEquals(
        "config.json: " + where + ": " + what + "; " + refusal.mend(), refusal.getMessage());
  }

  @Test
  void boundsNesting() {
    String most = "[".repeat(Json.MAX_DEPTH) + "]".repeat(Json.MAX_DEPTH);
    assertEquals(most, Json.compact(Json.parse(most, "t")));
    String deeper = "[" + most + "]";
    assertThrows(FormatException.class, () -> Json.parse(deeper, "t"));
    assertThrows(FormatException.class, () -> Json.parse("{\"a\":".repeat(1_000_000), "t"));
    Object nested = List.of();
    for (int i = 1; i < Json.MAX_DEPTH; i++) {
      nested = List.of(nested);
    }
    assertEquals(nested, Json.parse(Json.write(nested), "t"));
    Object tooDeep = List.of(nested);
    assertThrows(IllegalArgumentException.class, () -> Json.write(tooDeep));
  }

  @Test
  void boundsTheNumberOfValues() {
    String most = "[" + "1,".repeat(Json.MAX_VALUES - 2) + "1]";
    assertEquals(Json.MAX_VALUES - 1, ((List<?>) Json.parse(most, "t")).size());
    String more = "[" + "1,".repeat(Json.MAX_VALUES - 1) + "1]";
    assertThrows(FormatException.class, () -> Json.parse(more, "t"));
  }

  @Test
  void boundsTheSizeOfAFile() throws Exception {
    Path file = folder.resolve("large.json");
    try (var channel =
        FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.WRITE)) {
      channel.write(ByteBuffer.wrap(new byte[1]), Json.MAX_BYTES);
    }
    FormatException refusal = assertThrows(FormatException.class, () -> Json.read(file));
    assertTrue(refusal.what().contains(Integer.toString(Json.MAX_BYTES)), refusal.getMessage());
  }

  @Test
  void refusesWhatIsNoUtf8AndNamesTheFile() throws Exception {
    Path file = folder.resolve("latin.json");
    Files.write(file, new byte[] {'"', (byte) 0xe9, '"'});
    FormatException refusal = assertThrows(FormatException.class, () -> Json.read(file));
    assertEquals(file.toString(), refusal.file());
    Path missing = folder.resolve("missing.json");
    UncheckedIOException failure =
        assertThrows(UncheckedIOException.class, () -> Json.read(missing));
    assertTrue(failure.getMessage().contains("missing.json: no such file"), failure.getMessage());
  }

  @Test
  void writesReadably() {
    Map<String, Object> value = new LinkedHashMap<>();
    value.put("z", 1);
    value.put("a", Arrays.asList(1.5, null, true, 0.1f));
    value.put("m", List.of(Map.of("k", "\"\\\n\u0001\u00e9"), List.of()));
    value.put("e", Map.of());
    String wanted =
        """
        {
          "z": 1,
          "a": [1.5, null, true, 0.1],
          "m": [
            {
              "k": "\\"\\\\\\n\\u0001\u00e9"
            },
            []
          ],
          "e": {}
        }
        """;
    assertEquals(wanted, Json.write(value));
  }

  @Test
  void refusesToWriteWhatJsonCannotSay() {
    List<Object> cases =
        new ArrayList<>(
            List.of(
                Double.NaN, Float.POSITIVE_INFINITY, 'c', "\ud800", "\udc00x", folder, new int[1]));
    cases.add(Map.of(1, 2));
    cases.add(Collections.singletonMap(null, 1));
    for (Object value : cases) {
      assertThrows(IllegalArgumentException.class, () -> Json.write(value), value::toString);
    }
  }

  @Test
  void readValuesCannotBeChanged() {
    List<?> list = (List<?>) Json.parse("[{}]", "t");
    assertThrows(UnsupportedOperationException.class, list::clear);
    assertThrows(
        UnsupportedOperationException.class, () -> ((Map<?, ?>) list.getFirst()).remove("a"));
  }

  @Test
  void givesTypedValues() {
    JsonObject json =
        object(
            "{\"s\":\"x\",\"i\":5,\"d\":0.5,\"b\":true,\"o\":{\"k\":1},\"l\":[\"p\",\"q\"],\"m\":[{\"k\":2}],\"n\":null}");
    assertEquals("x", json.string("s"));
    assertEquals(5, json.integer("i", 5, 5));
    assertEquals(5L, json.integer("i", 0L, 9L));
    assertEquals(0.5, json.number("d"));
    assertEquals(5.0, json.number("i", 0, 5));
    assertTrue(json.flag("b"));
    assertEquals(1, json.object("o").integer("k", 1, 1));
    assertEquals(List.of("p", "q"), json.strings("l"));
    assertEquals(2, json.list("l").size());
    assertEquals(2, json.objects("m").getFirst().integer("k", 0, 9));
    assertTrue(json.has("n"));
    assertNull(json.value("n"));
    assertEquals(8, json.only("s", "i", "d", "b", "o", "l", "m", "n").keys().size());
  }

  @Test
  void refusesWrongValuesByPath() {
    JsonObject json = object("{\"o\":{\"i\":7,\"s\":\"x\",\"n\":null,\"l\":[1]},\"m\":[1]}");
    JsonObject inner = json.object("o");
    refused("o.x", "is missing", () -> inner.string("x"));
    refused("o.i", "is 7, not a string", () -> inner.string("i"));
    refused("o.i", "is 7", () -> inner.integer("i", 8, 9));
    refused("o.i", "is 7", () -> inner.integer("i", 0, 6));
    refused("o.i", "is 7.0", () -> inner.number("i", 0, 6));
    refused("o.s", "is the string \"x\", not an integer", () -> inner.integer("s", 0, 6));
    refused("o.s", "is the string \"x\", not a number", () -> inner.number("s"));
    refused("o.n", "is null, not true or false", () -> inner.flag("n"));
    refused("o.l", "is a list, not an object", () -> inner.object("l"));
    refused("o.l[0]", "is 1, not a string", () -> inner.strings("l"));
    refused("m[0]", "is 1, not an object", () -> json.objects("m"));
    refused("o", "is an object, not a list", () -> json.list("o"));
    refused("m", "is an unknown key", () -> json.only("o"));
    refused("top level", "is a list, not an object", () -> object("[]"));
  }

  private static JsonObject object(String text) {
    return JsonObject.of(Json.parse(text, "config.json"), "config.json");
  }

  private static void refused(String where, String what, Runnable call) {
    FormatException refusal = assertThrows(FormatException.class, call::run);
    assertEquals("config.json", refusal.file());
    assertEquals(where, refusal.where());
    assertEquals(what, refusal.what());
  }
}

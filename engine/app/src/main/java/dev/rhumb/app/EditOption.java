package dev.rhumb.app;

import dev.rhumb.app.terminal.Refusal;
import dev.rhumb.kernels.EditTable;
import dev.rhumb.steer.Concepts;
import dev.rhumb.steer.Edit;
import dev.rhumb.steer.Steering;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * Reads edits as they are written on the command line: {@code Sci-Fi=2} for a concept and its
 * strength, {@code 17:set:3.5}, {@code 17:add:1}, {@code 17:scale:0.5}, {@code 17:clamp:0:2} and
 * {@code 17:ablate} for a feature.
 */
final class EditOption {
  private EditOption() {}

  /**
   * The steering of all edits; a feature may be named once, and in no concept beside it.
   *
   * @param concepts may be null where no edit names one
   */
  static Steering parse(List<String> texts, Concepts concepts) {
    Map<String, Double> strengths = new LinkedHashMap<>();
    List<Edit> edits = new ArrayList<>();
    for (String text : texts) {
      int equals = text.lastIndexOf('=');
      if (equals > 0) {
        String name = text.substring(0, equals).strip();
        strengths.merge(name, number(text, text.substring(equals + 1)), Double::sum);
      } else {
        edits.add(edit(text));
      }
    }
    if (!strengths.isEmpty()) {
      edits.addAll(concepts.steer(strengths).edits());
    }
    return Steering.of(edits);
  }

  private static Edit edit(String text) {
    String[] parts = text.split(":", -1);
    if (parts.length < 2 || !parts[0].matches("[0-9]{1,9}")) {
      throw malformed(text);
    }
    int feature = Integer.parseInt(parts[0]);
    EditTable.Op op;
    try {
      op = EditTable.Op.valueOf(parts[1].toUpperCase(Locale.ROOT));
    } catch (IllegalArgumentException e) {
      throw malformed(text);
    }
    int operands =
        switch (op) {
          case ADD, SET, SCALE -> 1;
          case CLAMP -> 2;
          case ABLATE -> 0;
        };
    if (parts.length != 2 + operands) {
      throw malformed(text);
    }
    float x = operands > 0 ? (float) number(text, parts[2]) : 0;
    float y = operands > 1 ? (float) number(text, parts[3]) : 0;
    return new Edit(feature, op, x, y);
  }

  private static double number(String text, String number) {
    try {
      return Double.parseDouble(number.strip());
    } catch (NumberFormatException e) {
      throw malformed(text);
    }
  }

  private static Refusal malformed(String text) {
    return new Refusal(
        "edit '" + text + "'",
        "is not understood",
        "write CONCEPT=STRENGTH, or FEATURE:add:X, set:X, scale:X, clamp:LEAST:MOST or ablate");
  }
}

package dev.rhumb.app.load;

/** Why a row is left out. */
enum Fault {
  /** Fewer fields than there are columns. */
  TOO_FEW("too few fields", "mend the line, or name the delimiter with --delimiter", true),
  /** More fields than there are columns. */
  TOO_MANY("too many fields", "mend the line, or name the delimiter with --delimiter", true),
  /** A quoted field that does not end, or goes on after its end. */
  QUOTE("a quote without its end", "mend the line, or give --no-quotes", true),
  /** Bytes that are no text in the encoding. */
  NOT_TEXT("bytes that are no UTF-8", "save the file as UTF-8, or name its --encoding", true),
  /** A line that is longer than any row. */
  TOO_LONG("more than a mebibyte on one line", "mend the line", true),
  /** A line that holds no JSON object. */
  NOT_JSON("no JSON object", "put one object on each line", true),
  /** No user. */
  NO_USER("no user", "fill in the user, or leave out --strict", false),
  /** No item. */
  NO_ITEM("no item", "fill in the item, or leave out --strict", false),
  /** An external id that is to be a whole number, and is none. */
  BAD_ID("an id that is no whole number", "mend the line", true),
  /** An item that an earlier row describes otherwise. */
  DESCRIBED("an item that an earlier row describes otherwise", "keep one row for an item", true),
  /** No time. */
  NO_TIME("no time", "fill in the time, or leave out --strict", false),
  /** A time that cannot be read. */
  BAD_TIME("a time that cannot be read", "write epoch seconds or an ISO date", true),
  /** A time before 1970. */
  BEFORE_1970("a time before 1970", "mend the time, or name the --time-unit", false),
  /** A time after 2099. */
  AFTER_2099("a time after 2099", "mend the time, or name the --time-unit", false),
  /** No rating, where it decides. */
  NO_RATING("no rating", "fill in the rating, or leave out --min-rating", false),
  /** A rating that is no number. */
  BAD_RATING("a rating that is no number", "mend the rating", true);

  private final String reason;
  private final String mend;
  private final boolean malformed;

  Fault(String reason, String mend, boolean malformed) {
    this.reason = reason;
    this.mend = mend;
    this.malformed = malformed;
  }

  /** What is wrong, to follow "rows with". */
  String reason() {
    return reason;
  }

  /** What to do about it. */
  String mend() {
    return mend;
  }

  /** Whether the row is not what its writer meant, rather than without a value. */
  boolean isMalformed() {
    return malformed;
  }
}

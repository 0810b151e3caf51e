package dev.rhumb.data;

import dev.rhumb.checkpoint.Sha256;

/**
 * SHA-256, in hexadecimal, of the parts of a dataset, apart so that a damaged folder can name the
 * part. What is hashed: numbers as little-endian int64, strings as the number of their UTF-8 bytes
 * and those bytes, lists with their count first; the sequences are offsets (int64) and items
 * (int32), the times int64.
 *
 * @param times null where the dataset keeps none
 */
record Digests(String items, String users, String sequences, String times) {
  static Digests of(Dataset d) {
    Sha256 items = new Sha256();
    Catalogue catalogue = d.catalogue();
    items.add(catalogue.items());
    for (int item = 1; item <= catalogue.items(); item++) {
      items.add(catalogue.id(item));
      items.add(catalogue.givenTitle(item));
      var attributes = catalogue.attributes().namesOf(item);
      items.add(attributes.size());
      attributes.forEach(items::add);
    }
    Sha256 users = new Sha256();
    users.add(d.users());
    for (int user = 0; user < d.users(); user++) {
      users.add(d.userId(user));
      users.add(d.userTime(user));
    }
    Sha256 sequences = new Sha256();
    sequences.add(d.offsets());
    sequences.add(d.sequenceItems());
    Sha256 times = new Sha256();
    if (d.hasTimes()) {
      times.add(d.times());
    }
    return new Digests(
        items.hex(), users.hex(), sequences.hex(), d.hasTimes() ? times.hex() : null);
  }

  /** The hash over items, users and sequences. */
  String fingerprint() {
    Sha256 all = new Sha256();
    all.add(items);
    all.add(users);
    all.add(sequences);
    return all.hex();
  }
}

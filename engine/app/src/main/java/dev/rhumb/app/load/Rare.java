package dev.rhumb.app.load;

import dev.rhumb.data.Catalogue;
import dev.rhumb.data.Dataset;
import dev.rhumb.data.DatasetBuilder;
import java.util.ArrayList;
import java.util.List;

/** Leaves out items of which there is too little to learn from. */
public final class Rare {
  private Rare() {}

  /**
   * The dataset without items that have fewer than {@code least} interactions, and without users
   * who then have none. The caller closes both.
   */
  public static Dataset removed(Dataset dataset, int least) {
    int[] counts = new int[dataset.items() + 1];
    for (int user = 0; user < dataset.users(); user++) {
      for (int p = 0; p < dataset.length(user); p++) {
        counts[dataset.item(user, p)]++;
      }
    }
    Catalogue catalogue = dataset.catalogue();
    DatasetBuilder builder = new DatasetBuilder().keepTimes(dataset.hasTimes());
    for (int item = 1; item <= dataset.items(); item++) {
      if (counts[item] >= least) {
        List<String> attributes = new ArrayList<>();
        for (int attribute : catalogue.attributes().of(item)) {
          attributes.add(catalogue.attributes().names().get(attribute));
        }
        builder.item(catalogue.id(item), catalogue.title(item), attributes.toArray(String[]::new));
      }
    }
    for (int user = 0; user < dataset.users(); user++) {
      boolean any = false;
      for (int p = 0; p < dataset.length(user); p++) {
        int item = dataset.item(user, p);
        if (counts[item] >= least) {
          any = true;
          builder.add(
              dataset.userId(user),
              catalogue.id(item),
              dataset.hasTimes() ? dataset.time(user, p) : p);
        }
      }
      if (any) {
        builder.userTime(dataset.userId(user), dataset.userTime(user));
      }
    }
    return builder.build(dataset.name());
  }
}

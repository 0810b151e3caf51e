package dev.rhumb.bench;

import dev.rhumb.app.load.Import;
import dev.rhumb.app.load.Layout;
import dev.rhumb.data.Dataset;
import dev.rhumb.kernels.Settings;
import dev.rhumb.train.EpochReport;
import dev.rhumb.train.TrainingListener;
import java.nio.file.Path;
import java.util.Locale;

/** What the studies on MovieLens 1M share. */
final class MovieLens {
  private MovieLens() {}

  /** MovieLens 1M of RHUMB_DATA; the caller closes it. */
  static Dataset open() {
    String data = Settings.get("rhumb.data");
    if (data == null) {
      throw new IllegalArgumentException("set RHUMB_DATA to the folder that holds ml-1m/ml-1m.txt");
    }
    Path source = Path.of(data, "ml-1m");
    Layout layout =
        Layout.of(source)
            .orElseThrow(
                () ->
                    new IllegalArgumentException(
                        source + " holds no known layout of MovieLens 1M"));
    return Import.of(source, layout, 1).dataset();
  }

  /** Tells of each epoch. */
  static TrainingListener log(String name) {
    return new TrainingListener() {
      @Override
      public void onEpoch(EpochReport r) {
        System.out.printf(
            Locale.ROOT,
            "%s, epoch %d: loss %.4f, validation NDCG@10 %.4f, HR@10 %.4f, %.1f s + %.1f s%s%n",
            name,
            r.epoch(),
            r.loss(),
            r.validationNdcg(),
            r.validationHitRate(),
            r.trainSeconds(),
            r.validationSeconds(),
            r.best() ? ", best" : "");
      }
    };
  }
}

package dev.rhumb.spark;

import dev.rhumb.data.Dataset;
import dev.rhumb.data.GeneratedWorld;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.kernels.Philox;
import dev.rhumb.model.BlockStyle;
import dev.rhumb.model.Model;
import dev.rhumb.model.ModelConfig;
import dev.rhumb.model.ModelFolder;
import dev.rhumb.model.Tensor;
import java.nio.file.Path;
import java.util.Map;

/** A generated world on disk: a dataset of {@link #USERS} users and a random model of its items. */
record World(Path model, Path data) {
  /** More than four of the evaluator's batches. */
  static final int USERS = 560;

  static final int ITEMS = 60;
  static final String SPLIT = "leave-one-out";

  static World write(Path folder, long seed) {
    World world = new World(folder.resolve("model"), folder.resolve("data"));
    var habits = new GeneratedWorld.Config(USERS, ITEMS, 6, 2, 5, 9, 1, .8, .5, .01);
    try (GeneratedWorld made = GeneratedWorld.make(habits, seed);
        Kernels kernels = Kernels.open()) {
      Dataset dataset = made.dataset();
      dataset.save(world.data);
      var config =
          new ModelConfig(BlockStyle.SASREC, dataset.items(), 16, 1, 2, 8, 24, 0.1f, 1e-5f);
      try (Model model = Model.initialise(kernels, config, seed)) {
        int number = 0;
        for (Tensor tensor : model.parameters().tensors()) {
          scramble(tensor.data(), number++);
        }
        ModelFolder.writeDescription(
            world.model,
            config,
            dataset.catalogue(),
            new ModelFolder.Description(dataset.name(), dataset.fingerprint(), SPLIT, Map.of()));
        ModelFolder.writeWeights(world.model, model.parameters());
      }
    }
    return world;
  }

  /** Away from the initial values, so that histories matter. */
  private static void scramble(Buffer data, int number) {
    float[] values = data.floats();
    for (int i = 0; i < values.length; i++) {
      values[i] += 0.3f * (float) Philox.normal(5, 1, number, i);
    }
    data.put(0, values, 0, values.length);
  }
}

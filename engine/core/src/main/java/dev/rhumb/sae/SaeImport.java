package dev.rhumb.sae;

import dev.rhumb.checkpoint.FormatException;
import dev.rhumb.checkpoint.Safetensors;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.model.Site;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** What the readers of all layouts share. */
final class SaeImport {
  private static final Pattern HOOK =
      Pattern.compile("blocks\\.(\\d{1,6})\\.hook_(resid_post|mlp_out)");
  private static final int PART = 1 << 14;

  private SaeImport() {}

  /**
   * A site by its name here or in TransformerLens.
   *
   * @throws IllegalArgumentException when it is neither
   */
  static Site site(String name) {
    Matcher hook = HOOK.matcher(name);
    if (hook.matches()) {
      Site.Kind kind = hook.group(2).equals("mlp_out") ? Site.Kind.MLP : Site.Kind.BLOCK;
      return new Site(kind, Integer.parseInt(hook.group(1)));
    }
    return name.equals("ln_final.hook_normalized") ? Site.LAST : Site.parse(name);
  }

  /** Refuses a file that lacks a tensor, or holds one that nothing here would read. */
  static void requireTensors(Safetensors in, List<String> wanted, List<String> allowed) {
    for (String name : wanted) {
      if (!in.names().contains(name)) {
        throw new FormatException(
            in.file(),
            "tensor " + name,
            "is missing; there are " + String.join(", ", in.names()),
            "take the weights that belong to the configuration");
      }
    }
    for (String name : in.names()) {
      if (!allowed.contains(name)) {
        throw new FormatException(
            in.file(),
            "tensor " + name,
            "is none of such an autoencoder's, which are " + String.join(", ", wanted),
            "take the weights that belong to the configuration");
      }
    }
  }

  /** Refuses weights that are not finite, naming the tensor as it is called here. */
  static void requireFinite(SparseAutoencoder sae, Path file) {
    SaeWeights weights = sae.weights();
    Map<String, Buffer> tensors = new LinkedHashMap<>();
    tensors.put("W_enc", weights.encoder);
    tensors.put("W_dec", weights.decoder);
    tensors.put("the encoder's bias", weights.encoderBias);
    tensors.put("b_dec", weights.decoderBias);
    tensors.put("threshold", weights.threshold);
    tensors.put("r_mag", weights.magnitudeScale);
    tensors.put("b_mag", weights.magnitudeBias);
    tensors.forEach(
        (name, tensor) -> {
          if (tensor != null && !finite(tensor)) {
            throw new FormatException(
                file, "weights", name + " is not finite", "train the SAE anew");
          }
        });
  }

  /**
   * By a plain loop: a kernel takes far longer while nothing is compiled, as when a model opens.
   */
  private static boolean finite(Buffer tensor) {
    float[] part = new float[(int) Math.min(PART, tensor.count())];
    for (long from = 0; from < tensor.count(); from += part.length) {
      int n = (int) Math.min(part.length, tensor.count() - from);
      tensor.get(from, part, 0, n);
      for (int i = 0; i < n; i++) {
        if (!Float.isFinite(part[i])) {
          return false;
        }
      }
    }
    return true;
  }

  /**
   * Carries over to the weights, in double, what an encoder here does not do by itself.
   *
   * @param rescaled whether the norms of the decoder's rows scale the scores: then W_enc and its
   *     biases are multiplied by them, and W_dec is divided
   * @param biasApplied whether the encoder reads x - b_dec, as it does here, and not x: if not,
   *     W_enc b_dec is added to its biases
   */
  static void carryOver(SaeWeights weights, boolean rescaled, boolean biasApplied, Path file) {
    if (!rescaled && biasApplied) {
      return;
    }
    int width = weights.width;
    float[] encoder = new float[width];
    float[] decoder = new float[width];
    float[] centre = weights.decoderBias.floats();
    float[] bias = weights.encoderBias.floats();
    float[] scale = weights.magnitudeScale == null ? null : weights.magnitudeScale.floats();
    float[] magnitude = weights.magnitudeBias == null ? null : weights.magnitudeBias.floats();
    for (int f = 0; f < weights.features; f++) {
      long place = (long) f * width;
      weights.encoder.get(place, encoder, 0, width);
      weights.decoder.get(place, decoder, 0, width);
      double norm = 1;
      if (rescaled) {
        norm = norm(decoder);
        if (norm == 0) {
          throw new FormatException(
              file,
              "tensor W_dec",
              "row " + f + " is zero, and scores are to be scaled by its norm",
              "leave that feature out");
        }
      }
      double moved = 0;
      for (int d = 0; d < width; d++) {
        double weight = encoder[d] * norm;
        moved += biasApplied ? 0 : weight * centre[d];
        encoder[d] = (float) weight;
        decoder[d] = (float) (decoder[d] / norm);
      }
      weights.encoder.put(place, encoder, 0, width);
      weights.decoder.put(place, decoder, 0, width);
      bias[f] = (float) (bias[f] * norm + moved);
      if (magnitude != null) {
        magnitude[f] = (float) (magnitude[f] + Math.exp(scale[f]) * moved);
      }
    }
    weights.encoderBias.put(0, bias, 0, bias.length);
    if (magnitude != null) {
      weights.magnitudeBias.put(0, magnitude, 0, magnitude.length);
    }
  }

  private static double norm(float[] row) {
    double squares = 0;
    for (float value : row) {
      squares += (double) value * value;
    }
    return Math.sqrt(squares);
  }

  /** A refusal of kernels, which do not know of files, with the file. */
  static RuntimeException named(RuntimeException e, Path file) {
    return e instanceof ArithmeticException
        ? new FormatException(file, "weights", e.getMessage(), "train the SAE anew")
        : e;
  }
}

package dev.rhumb.bench.speed;

import dev.rhumb.kernels.Activation;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.CompressedItems;
import dev.rhumb.kernels.Dense;
import dev.rhumb.kernels.EditTable;
import dev.rhumb.kernels.Kernels;
import dev.rhumb.kernels.Layers;
import dev.rhumb.kernels.Loss;
import dev.rhumb.kernels.PackedEncoder;
import dev.rhumb.kernels.Ranking;
import dev.rhumb.kernels.Sae;
import dev.rhumb.kernels.Thresholds;
import java.util.Arrays;
import java.util.stream.IntStream;

/**
 * The kernels beside product, encode and scan, each over rows (N, D). What is not a row's has the
 * sizes of the constants here.
 */
public enum KernelCase {
  /** Sums of columns. */
  COLUMN_SUM(1, 1) {
    @Override
    Runnable make(Slots s, int n, int d) {
      Buffer x = s.in((long) n * d);
      Buffer sum = s.out(d);
      return () -> s.kernels.dense().columnSum(n, d, x, d, 0, sum);
    }
  },
  /** Sum of two matrices. */
  ADD(3, 3) {
    @Override
    Runnable make(Slots s, int n, int d) {
      long count = (long) n * d;
      Buffer a = s.in(count);
      Buffer b = s.in(count);
      Buffer y = s.out(count);
      Dense dense = s.kernels.dense();
      return () -> dense.add(count, 0.5f, a, 2, b, y);
    }
  },
  /** Squared norm of a gradient. */
  SQUARED_NORM(1, 2) {
    @Override
    Runnable make(Slots s, int n, int d) {
      Buffer x = s.in((long) n * d);
      Buffer result = s.out(1);
      return () -> s.kernels.dense().squaredNorm((long) n * d, x, result);
    }
  },
  /** Layer normalisation. */
  LAYER_NORM(2, 8) {
    @Override
    Runnable make(Slots s, int n, int d) {
      Buffer x = s.in((long) n * d);
      Buffer gamma = s.in(d);
      Buffer beta = s.in(d);
      Buffer y = s.out((long) n * d);
      Buffer mean = s.out(n);
      Buffer rstd = s.out(n);
      Layers layers = s.kernels.layers();
      return () -> layers.layerNorm(n, d, EPS, x, d, gamma, beta, y, d, mean, rstd);
    }
  },
  /** Its gradient. */
  LAYER_NORM_BACKWARD(3, 14) {
    @Override
    Runnable make(Slots s, int n, int d) {
      Buffer dy = s.in((long) n * d);
      Buffer x = s.in((long) n * d);
      Buffer gamma = s.in(d);
      Buffer mean = s.in(n);
      Buffer rstd = s.positive(n);
      Buffer dx = s.out((long) n * d);
      Buffer dgamma = s.out(d);
      Buffer dbeta = s.out(d);
      Layers layers = s.kernels.layers();
      return () -> layers.layerNormBackward(n, d, dy, x, gamma, mean, rstd, 0, dx, dgamma, dbeta);
    }
  },
  /** Root mean square normalisation. */
  RMS_NORM(2, 4) {
    @Override
    Runnable make(Slots s, int n, int d) {
      Buffer x = s.in((long) n * d);
      Buffer gamma = s.in(d);
      Buffer y = s.out((long) n * d);
      Buffer rstd = s.out(n);
      return () -> s.kernels.layers().rmsNorm(n, d, EPS, x, d, gamma, y, d, rstd);
    }
  },
  /** Its gradient. */
  RMS_NORM_BACKWARD(3, 9) {
    @Override
    Runnable make(Slots s, int n, int d) {
      Buffer dy = s.in((long) n * d);
      Buffer x = s.in((long) n * d);
      Buffer gamma = s.in(d);
      Buffer rstd = s.positive(n);
      Buffer dx = s.out((long) n * d);
      Buffer dgamma = s.out(d);
      Layers layers = s.kernels.layers();
      return () -> layers.rmsNormBackward(n, d, dy, x, gamma, rstd, 0, dx, dgamma);
    }
  },
  /** The gate of the modern style. */
  SWIGLU(3, 0) {
    @Override
    Runnable make(Slots s, int n, int d) {
      Buffer x = s.in(2L * n * d);
      Buffer y = s.out((long) n * d);
      return () -> s.kernels.layers().swiglu(n, d, x, y);
    }
  },
  /** Its gradient. */
  SWIGLU_BACKWARD(5, 0) {
    @Override
    Runnable make(Slots s, int n, int d) {
      Buffer x = s.in(2L * n * d);
      Buffer dy = s.in((long) n * d);
      Buffer dx = s.out(2L * n * d);
      return () -> s.kernels.layers().swigluBackward(n, d, x, dy, dx);
    }
  },
  /** Rotary positions. */
  ROTARY(2, 3) {
    @Override
    Runnable make(Slots s, int n, int d) {
      Buffer positions = s.ints(Inputs.integers(s.stream(), n, LENGTH));
      float[] table = new float[LENGTH * d];
      for (int t = 0; t < LENGTH; t++) {
        for (int i = 0; i < d / 2; i++) {
          table[t * d + i] = (float) Math.cos(0.1 * t * i);
          table[t * d + d / 2 + i] = (float) Math.sin(0.1 * t * i);
        }
      }
      Buffer angles = s.floats(table);
      Buffer x = s.inOut((long) n * d);
      Layers layers = s.kernels.layers();
      return () -> layers.rotary(n, 1, d, positions, LENGTH, angles, false, x, d);
    }
  },
  /** GELU. */
  GELU(2, 0) {
    @Override
    Runnable make(Slots s, int n, int d) {
      Buffer x = s.in((long) n * d);
      Buffer y = s.out((long) n * d);
      return () -> s.kernels.layers().activation(Activation.GELU, (long) n * d, x, y);
    }
  },
  /** Its gradient. */
  GELU_BACKWARD(3, 0) {
    @Override
    Runnable make(Slots s, int n, int d) {
      Buffer x = s.in((long) n * d);
      Buffer dy = s.in((long) n * d);
      Buffer dx = s.out((long) n * d);
      Layers layers = s.kernels.layers();
      return () -> layers.activationBackward(Activation.GELU, (long) n * d, x, dy, dx);
    }
  },
  /** Dropout. */
  DROPOUT(2, 0) {
    @Override
    Runnable make(Slots s, int n, int d) {
      Buffer x = s.in((long) n * d);
      Buffer y = s.out((long) n * d);
      return () -> s.kernels.layers().dropout(n, d, 0.2f, 1, 2, x, y);
    }
  },
  /** Embedding of items. */
  GATHER(2, 1) {
    @Override
    Runnable make(Slots s, int n, int d) {
      Buffer ids = s.ints(Inputs.integers(s.stream(), n, CLASSES));
      Buffer table = s.in((long) CLASSES * d);
      Buffer y = s.out((long) n * d);
      return () -> s.kernels.layers().gather(n, d, ids, CLASSES, table, 8, 0, y);
    }
  },
  /** Its gradient. */
  SCATTER_ADD(3, 2) {
    @Override
    Runnable make(Slots s, int n, int d) {
      Buffer ids = s.ints(Inputs.integers(s.stream(), n, CLASSES));
      Buffer x = s.in((long) n * d);
      Buffer table = s.out((long) CLASSES * d);
      return () -> s.kernels.layers().scatterAdd(n, d, ids, x, 1e-3f, CLASSES, table);
    }
  },
  /** Rows put back where they were found. */
  SCATTER(2, 0) {
    @Override
    Runnable make(Slots s, int n, int d) {
      Buffer ids = s.ints(IntStream.range(0, n).map(i -> n - 1 - i).toArray());
      Buffer x = s.in((long) n * d);
      Buffer table = s.out((long) n * d);
      return () -> s.kernels.layers().scatter(n, d, ids, x, n, table);
    }
  },
  /** Causal attention over sequences of T. */
  ATTENTION(4, 4.0 * KernelCase.LENGTH) {
    @Override
    Runnable make(Slots s, int n, int d) {
      Buffer offsets = s.ints(offsets(n));
      Buffer q = s.in((long) n * d);
      Buffer k = s.in((long) n * d);
      Buffer v = s.in((long) n * d);
      Buffer out = s.out((long) n * d);
      Buffer lse = s.out(n);
      return () -> attend(s.kernels, offsets, n, d, q, k, v, out, lse);
    }
  },
  /** Its gradient. */
  ATTENTION_BACKWARD(8, 10.0 * KernelCase.LENGTH) {
    @Override
    Runnable make(Slots s, int n, int d) {
      Buffer offsets = s.ints(offsets(n));
      Buffer q = s.in((long) n * d);
      Buffer k = s.in((long) n * d);
      Buffer v = s.in((long) n * d);
      Buffer dOut = s.in((long) n * d);
      Buffer out = s.out((long) n * d);
      Buffer lse = s.out(n);
      Buffer dq = s.out((long) n * d);
      Buffer dk = s.out((long) n * d);
      Buffer dv = s.out((long) n * d);
      attend(s.kernels, offsets, n, d, q, k, v, out, lse);
      return () ->
          s.kernels
              .attention()
              .backward(
                  offsets.count() - 1,
                  offsets,
                  n,
                  1,
                  d,
                  q,
                  d,
                  k,
                  d,
                  v,
                  d,
                  0,
                  0,
                  0,
                  out,
                  d,
                  lse,
                  dOut,
                  d,
                  dq,
                  d,
                  dk,
                  d,
                  dv,
                  d);
    }
  },
  /** The keys of padding, added to attention: 200 more positions. */
  ADD_PADDING(3, 7) {
    @Override
    Runnable make(Slots s, int n, int d) {
      Buffer offsets = s.ints(offsets(n));
      Buffer q = s.in((long) n * d);
      Buffer padKey = s.in(d);
      Buffer padValue = s.in(d);
      Buffer logSumExp = s.in(n);
      Buffer out = s.inOut((long) n * d);
      long sequences = offsets.count() - 1;
      return () ->
          s.kernels
              .attention()
              .addPadding(
                  sequences,
                  offsets,
                  n,
                  2 * LENGTH,
                  1,
                  d,
                  q,
                  d,
                  padKey,
                  padValue,
                  logSumExp,
                  out,
                  d);
    }
  },
  /** One query against N kept keys. */
  ATTENTION_LAST(2, 4) {
    @Override
    Runnable make(Slots s, int n, int d) {
      Buffer q = s.in(d);
      Buffer k = s.in((long) n * d);
      Buffer v = s.in((long) n * d);
      Buffer out = s.out(d);
      return () -> s.kernels.attention().last(n, 1, d, q, k, d, v, d, out);
    }
  },
  /** Full cross-entropy with its gradients. */
  SOFTMAX_LOSS(2, 6.0 * KernelCase.CLASSES) {
    @Override
    Runnable make(Slots s, int n, int d) {
      LossBuffers b = new LossBuffers(s, n, d);
      Loss loss = s.kernels.loss();
      return () -> loss.softmaxCrossEntropy(n, CLASSES, d, b.h, b.w, b.targets, b.loss, b.dh, b.dw);
    }
  },
  /** Sampled cross-entropy with its gradients. */
  SAMPLED_LOSS(2, 6.0 * KernelCase.NEGATIVES) {
    @Override
    Runnable make(Slots s, int n, int d) {
      LossBuffers b = new LossBuffers(s, n, d);
      Buffer sample = s.ints(IntStream.range(0, NEGATIVES).map(i -> 1 + 14 * i).toArray());
      Buffer bias = s.in(NEGATIVES);
      Buffer targetBias = s.in(CLASSES);
      Loss loss = s.kernels.loss();
      return () ->
          loss.sampledSoftmaxCrossEntropy(
              n,
              NEGATIVES,
              CLASSES,
              d,
              b.h,
              b.w,
              b.targets,
              sample,
              bias,
              targetBias,
              b.loss,
              b.dh,
              b.dw);
    }
  },
  /** Binary cross-entropy against 256 negatives of each row, with its gradients. */
  BINARY_LOSS(2, 6.0 * KernelCase.NEGATIVES) {
    @Override
    Runnable make(Slots s, int n, int d) {
      LossBuffers b = new LossBuffers(s, n, d);
      Loss loss = s.kernels.loss();
      return () ->
          loss.binaryCrossEntropy(
              n, NEGATIVES, CLASSES, d, b.h, b.w, b.targets, 0, null, null, null, 1, 2, 1, b.loss,
              b.dh, b.dw);
    }
  },
  /** A step of Adam. */
  ADAM(7, 15) {
    @Override
    Runnable make(Slots s, int n, int d) {
      long count = (long) n * d;
      Buffer x = s.inOut(count);
      Buffer g = s.in(count);
      Buffer m = s.inOut(count);
      Buffer v = s.positive(count);
      return () ->
          s.kernels.optimizer().adam(count, x, g, m, v, 1, 1e-6f, 0.9f, 0.999f, 1e-8f, 0, 1000);
    }
  },
  /** A step of Adam on decoder rows, projected before and of unit norm after; rows are features. */
  ADAM_UNIT_ROWS(7, 22) {
    @Override
    Runnable make(Slots s, int n, int d) {
      long count = (long) n * d;
      Buffer w = s.inOut(count);
      Buffer g = s.in(count);
      Buffer m = s.inOut(count);
      Buffer v = s.positive(count);
      Buffer scale = s.positive(1);
      return () ->
          s.kernels
              .optimizer()
              .adamUnitRows(n, d, w, g, m, v, scale, 1e-6f, 0.9f, 0.999f, 1e-8f, 1000);
    }
  },
  /** The factor that clips a gradient, half of it of decoder rows; rows are features. */
  CLIP(3, 10) {
    @Override
    Runnable make(Slots s, int n, int d) {
      long count = (long) n * d;
      Buffer gradient = s.in(count);
      Buffer w = s.in(count);
      Buffer dw = s.in(count);
      Buffer scale = s.out(1);
      return () -> s.kernels.optimizer().clip(count, gradient, n, d, w, dw, 1, scale);
    }
  },
  /** A step of a moving average of weights. */
  AVERAGE(3, 3) {
    @Override
    Runnable make(Slots s, int n, int d) {
      Buffer x = s.in((long) n * d);
      Buffer average = s.inOut((long) n * d);
      return () -> s.kernels.optimizer().average((long) n * d, x, 0.99f, average);
    }
  },
  /** The encoder's weights into the layout of the encode; rows are features. */
  PACK(2, 0) {
    @Override
    Runnable make(Slots s, int n, int d) {
      Buffer w = s.in((long) n * d);
      Buffer bEnc = s.in(n);
      Buffer bDec = s.in(d);
      PackedEncoder encoder = s.owned(s.kernels.sae().encoder(n, d));
      Buffer x = s.in(d);
      Buffer indices = s.outInts(1);
      Buffer values = s.out(1);
      Sae sae = s.kernels.sae();
      s.finish = () -> sae.encodeTopK(encoder, 1, 1, x, d, indices, values);
      return () -> sae.pack(encoder, n, w, bEnc, bDec, null, 0);
    }
  },
  /** Encode by thresholds that let about a sixth of the features fire. */
  ENCODE_ABOVE(1, 2.0 * KernelCase.FIRING) {
    @Override
    Runnable make(Slots s, int n, int d) {
      int features = KernelCase.FIRING;
      PackedEncoder encoder = encoder(s, features, d);
      Thresholds all = thresholds(s, features, d);
      Buffer x = s.in((long) n * d);
      Buffer indices = s.outInts((long) n * features);
      Buffer values = s.out((long) n * features);
      return () -> s.kernels.sae().encodeAbove(encoder, all, n, x, d, indices, values);
    }
  },
  /** Activations of listed scores. */
  ACTIVATE(0, 0) {
    @Override
    Runnable make(Slots s, int n, int d) {
      Buffer indices = s.ints(lists(n));
      Buffer scores = s.positive((long) n * KEPT);
      Thresholds thresholds = thresholds(s, FEATURES, d);
      Buffer values = s.out((long) n * KEPT);
      Sae sae = s.kernels.sae();
      return () -> sae.activate(n, KEPT, FEATURES, indices, scores, thresholds, values);
    }
  },
  /** The larger half of a batch's activations. */
  KEEP_LARGEST(0, 0) {
    @Override
    Runnable make(Slots s, int n, int d) {
      Buffer indices = s.ints(lists(n));
      Buffer values = s.inOut((long) n * KEPT);
      Buffer least = s.out(1);
      long left = Math.max(1, (long) n * KEPT / 2);
      return () -> s.kernels.sae().keepLargest(n, KEPT, FEATURES, left, indices, values, least);
    }
  },
  /** Lists of the first half of the features. */
  SLICE(0, 0) {
    @Override
    Runnable make(Slots s, int n, int d) {
      Buffer indices = s.ints(lists(n));
      Buffer values = s.positive((long) n * KEPT);
      Buffer toIndices = s.outInts((long) n * KEPT);
      Buffer toValues = s.out((long) n * KEPT);
      Sae sae = s.kernels.sae();
      return () ->
          sae.slice(n, KEPT, FEATURES, 0, FEATURES / 2, indices, values, toIndices, toValues);
    }
  },
  /** Each row's sum of activations. */
  SUM_VALUES(0, 0) {
    @Override
    Runnable make(Slots s, int n, int d) {
      Buffer indices = s.ints(lists(n));
      Buffer values = s.positive((long) n * KEPT);
      Buffer sums = s.out(n);
      return () -> s.kernels.sae().sumValues(n, KEPT, FEATURES, indices, values, sums);
    }
  },
  /** The sparse decode. */
  DECODE(1, 2.0 * KernelCase.KEPT) {
    @Override
    Runnable make(Slots s, int n, int d) {
      Buffer indices = s.ints(lists(n));
      Buffer values = s.positive((long) n * KEPT);
      Buffer wDec = s.in((long) FEATURES * d);
      Buffer bDec = s.in(d);
      Buffer y = s.out((long) n * d);
      Sae sae = s.kernels.sae();
      return () -> sae.decode(n, KEPT, FEATURES, d, indices, values, wDec, bDec, y, d);
    }
  },
  /** The sparse decode's loss and its gradients in reconstructions and activations. */
  DECODE_LOSS(2, 4.0 * KernelCase.KEPT) {
    @Override
    Runnable make(Slots s, int n, int d) {
      Buffer x = s.in((long) n * d);
      Buffer denominator = s.positive(1);
      Buffer indices = s.ints(lists(n));
      Buffer values = s.positive((long) n * KEPT);
      Buffer wDec = s.in((long) FEATURES * d);
      Buffer bDec = s.in(d);
      Buffer g = s.out((long) n * d);
      Buffer squares = s.out(n);
      Buffer dz = s.out((long) n * KEPT);
      return () ->
          s.kernels
              .sae()
              .decodeLoss(
                  n,
                  KEPT,
                  FEATURES,
                  d,
                  x,
                  d,
                  2,
                  denominator,
                  indices,
                  values,
                  wDec,
                  bDec,
                  null,
                  g,
                  squares,
                  dz);
    }
  },
  /** The gradients of encode and decode. */
  SAE_BACKWARD(2, 6.0 * KernelCase.KEPT) {
    @Override
    Runnable make(Slots s, int n, int d) {
      Buffer x = s.in((long) n * d);
      Buffer g = s.in((long) n * d);
      Buffer indices = s.ints(lists(n));
      Buffer values = s.positive((long) n * KEPT);
      Buffer wEnc = s.in((long) FEATURES * d);
      Buffer wDec = s.in((long) FEATURES * d);
      Buffer bDec = s.in(d);
      Buffer dWEnc = s.out((long) FEATURES * d);
      Buffer dWDec = s.out((long) FEATURES * d);
      Buffer dBEnc = s.out(FEATURES);
      Buffer dBDec = s.out(d);
      return () ->
          s.kernels
              .sae()
              .backward(
                  n, KEPT, FEATURES, d, x, d, g, indices, values, wEnc, wDec, bDec, true, dWEnc,
                  dWDec, dBEnc, dBDec);
    }
  },
  /** The straight-through gradient of thresholds. */
  THRESHOLD_BACKWARD(1, 0) {
    @Override
    Runnable make(Slots s, int n, int d) {
      Buffer g = s.in((long) n * d);
      Buffer indices = s.ints(lists(n));
      Buffer scores = s.positive((long) n * KEPT);
      Buffer threshold = s.positive(FEATURES);
      Buffer wDec = s.in((long) FEATURES * d);
      Buffer dThreshold = s.out(FEATURES);
      Sae sae = s.kernels.sae();
      return () ->
          sae.thresholdBackward(
              n, KEPT, FEATURES, d, 0.5f, g, 1e-3f, indices, scores, threshold, wDec, dThreshold);
    }
  },
  /** Rows times a factor each. */
  SCALE_ROWS(2, 1) {
    @Override
    Runnable make(Slots s, int n, int d) {
      Buffer factors = s.in(n);
      Buffer w = s.in((long) n * d);
      Buffer to = s.out((long) n * d);
      return () -> s.kernels.sae().scaleRows(n, d, factors, w, 0, to);
    }
  },
  /** Dot products of rows. */
  DOT_ROWS(2, 2) {
    @Override
    Runnable make(Slots s, int n, int d) {
      Buffer a = s.in((long) n * d);
      Buffer b = s.in((long) n * d);
      Buffer dots = s.out(n);
      return () -> s.kernels.sae().dotRows(n, d, a, b, dots);
    }
  },
  /** Decoder rows back to unit norm; rows are features. */
  NORMALISE_ROWS(2, 3) {
    @Override
    Runnable make(Slots s, int n, int d) {
      Buffer w = s.inOut((long) n * d);
      return () -> s.kernels.sae().normaliseRows(n, d, w);
    }
  },
  /** The gradient's part along each decoder row taken off; rows are features. */
  PROJECT_ROWS(3, 4) {
    @Override
    Runnable make(Slots s, int n, int d) {
      Buffer w = s.in((long) n * d);
      Buffer dw = s.inOut((long) n * d);
      return () -> s.kernels.sae().projectRows(n, d, w, dw);
    }
  },
  /** How often features fired. */
  COUNT_FIRED(0, 0) {
    @Override
    Runnable make(Slots s, int n, int d) {
      Buffer indices = s.ints(lists(n));
      Buffer values = s.positive((long) n * KEPT);
      Buffer counts = s.outInts(FEATURES);
      return () -> s.kernels.sae().countFired(n, KEPT, FEATURES, indices, values, counts);
    }
  },
  /** Encode, two edits, and the change written back. */
  STEER(2, 2.0 * KernelCase.FEATURES) {
    @Override
    Runnable make(Slots s, int n, int d) {
      PackedEncoder encoder = encoder(s, FEATURES, d);
      Buffer wDec = s.in((long) FEATURES * d);
      Buffer bDec = s.in(d);
      Buffer x = s.in((long) n * d);
      Buffer y = s.out((long) n * d);
      Buffer indices = s.outInts((long) n * KEPT);
      Buffer values = s.out((long) n * KEPT);
      EditTable edits = new EditTable(2);
      edits.put(1, EditTable.Op.ADD, 0.5f, 0);
      edits.put(FEATURES / 2, EditTable.Op.ABLATE, 0, 0);
      Sae sae = s.kernels.sae();
      return () -> sae.steer(encoder, wDec, bDec, n, KEPT, x, d, edits, y, d, indices, values);
    }
  },
  /** The same by thresholds. */
  STEER_ABOVE(2, 2.0 * KernelCase.FIRING) {
    @Override
    Runnable make(Slots s, int n, int d) {
      int features = KernelCase.FIRING;
      PackedEncoder encoder = encoder(s, features, d);
      Thresholds all = thresholds(s, features, d);
      Buffer wDec = s.in((long) features * d);
      Buffer bDec = s.in(d);
      Buffer x = s.in((long) n * d);
      Buffer y = s.out((long) n * d);
      Buffer indices = s.outInts((long) n * features);
      Buffer values = s.out((long) n * features);
      EditTable edits = new EditTable(2);
      edits.put(1, EditTable.Op.ADD, 0.5f, 0);
      edits.put(features / 2, EditTable.Op.ABLATE, 0, 0);
      Sae sae = s.kernels.sae();
      return () -> sae.steerAbove(encoder, all, wDec, bDec, n, x, d, edits, y, d, indices, values);
    }
  },
  /** A catalogue at one byte a weight; rows are items. */
  COMPRESS(1, 0) {
    @Override
    Runnable make(Slots s, int n, int d) {
      Buffer table = s.in((long) n * d);
      Buffer h = s.in(d);
      Buffer items = s.outInts(1);
      Buffer scores = s.out(1);
      Ranking ranking = s.kernels.ranking();
      s.finish =
          () -> {
            try (CompressedItems all = ranking.compress(n, d, table)) {
              ranking.topItems(1, all, h, d, 1, null, null, items, scores);
            }
          };
      return () -> ranking.compress(n, d, table).close();
    }
  },
  /** The ten best items of each row. */
  TOP_ITEMS(1, 2.0 * KernelCase.CLASSES) {
    @Override
    Runnable make(Slots s, int n, int d) {
      Buffer h = s.in((long) n * d);
      Buffer table = s.in((long) CLASSES * d);
      Buffer items = s.outInts(10L * n);
      Buffer scores = s.out(10L * n);
      return () ->
          s.kernels.ranking().topItems(n, d, CLASSES, h, d, table, 10, null, null, items, scores);
    }
  };

  /** T. */
  static final int LENGTH = 200;

  /** V + 1. */
  static final int CLASSES = 3707;

  /** Negatives of a sampled loss. */
  static final int NEGATIVES = 256;

  /** F. */
  static final int FEATURES = 4096;

  /** K. */
  static final int KEPT = 32;

  /** F where features fire by thresholds. */
  static final int FIRING = 1024;

  private static final float EPS = 1e-8f;

  private final double matrices;
  private final double flopsPerElement;

  /**
   * A kernel.
   *
   * @param matrices how many of (N, D) a run reads and writes at least
   * @param flopsPerElement operations for each element of (N, D); 0 where they are not counted
   */
  KernelCase(double matrices, double flopsPerElement) {
    this.matrices = matrices;
    this.flopsPerElement = flopsPerElement;
  }

  double flops(int rows, int width) {
    return flopsPerElement * rows * width;
  }

  double bytes(int rows, int width) {
    return 4 * matrices * rows * width;
  }

  /** Makes inputs and outputs; the result runs the kernel once. */
  abstract Runnable make(Slots slots, int rows, int width);

  /** The buffers that all losses have. */
  private static final class LossBuffers {
    final Buffer h;
    final Buffer w;
    final Buffer targets;
    final Buffer loss;
    final Buffer dh;
    final Buffer dw;

    LossBuffers(Slots s, int n, int d) {
      h = s.in((long) n * d);
      w = s.in((long) CLASSES * d);
      targets =
          s.ints(
              Arrays.stream(Inputs.integers(s.stream(), n, CLASSES - 1)).map(i -> i + 1).toArray());
      loss = s.out(1);
      dh = s.out((long) n * d);
      dw = s.out((long) CLASSES * d);
    }
  }

  /** Sequences of T rows, the last one shorter if need be. */
  private static int[] offsets(int rows) {
    int sequences = (rows + LENGTH - 1) / LENGTH;
    return IntStream.rangeClosed(0, sequences).map(b -> Math.min(rows, b * LENGTH)).toArray();
  }

  /** K different features for each row. */
  private static int[] lists(int rows) {
    return IntStream.range(0, rows * KEPT)
        .map(i -> (i / KEPT * 37 + i % KEPT * 101) % FEATURES)
        .toArray();
  }

  /** Thresholds that about a sixth of the scores of random rows of norm sqrt(d) exceed. */
  private static Thresholds thresholds(Slots s, int features, int d) {
    float[] ones = new float[features];
    Arrays.fill(ones, 1);
    float[] thresholds = new float[features];
    Arrays.fill(thresholds, (float) Math.sqrt(d) / 12);
    return new Thresholds(s.floats(thresholds), s.floats(ones), s.in(features));
  }

  private static void attend(
      Kernels kernels,
      Buffer offsets,
      int n,
      int d,
      Buffer q,
      Buffer k,
      Buffer v,
      Buffer out,
      Buffer lse) {
    kernels
        .attention()
        .forward(offsets.count() - 1, offsets, n, 1, d, q, d, k, d, v, d, 0, 0, 0, out, d, lse);
  }

  private static PackedEncoder encoder(Slots s, int features, int d) {
    PackedEncoder encoder = s.owned(s.kernels.sae().encoder(features, d));
    Buffer zeros = s.floats(new float[Math.max(features, d)]);
    s.kernels.sae().pack(encoder, features, s.in((long) features * d), zeros, zeros, null, 0);
    return encoder;
  }
}

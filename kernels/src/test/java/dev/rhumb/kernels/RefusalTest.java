package dev.rhumb.kernels;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/**
 * Bad input: each refusal has its type, names the operation and the argument, and leaves all memory
 * as it was.
 */
class RefusalTest extends Conformance {
  /** A good call of one operation, of which single arguments are spoilt. */
  private final class Call {
    final String op;
    final Map<String, Long> counts = new LinkedHashMap<>();
    final Map<String, Long> strides = new LinkedHashMap<>();
    final Map<String, Buffer> buffers = new LinkedHashMap<>();
    private final Set<String> optional;
    private Consumer<Call> body;

    Call(String op, String... optional) {
      this.op = op;
      this.optional = Set.of(optional);
      calls.add(this);
    }

    Call count(String name, long value) {
      counts.put(name, value);
      return this;
    }

    /** A buffer with exactly the elements that the call needs. */
    Call floats(String name, int count) {
      Buffer buffer = memory.vector(count).buffer;
      buffers.put(name, buffer);
      return this;
    }

    /** A matrix with exactly the elements that the call needs, rows {@code cols + 2} apart. */
    Call matrix(String name, int rows, int cols) {
      strides.put(name, cols + 2L);
      return floats(name, (rows - 1) * (cols + 2) + cols);
    }

    Call ints(String name, int... values) {
      buffers.put(name, memory.ints(values).buffer);
      return this;
    }

    Call body(Consumer<Call> body) {
      this.body = body;
      return this;
    }

    long n(String name) {
      return counts.get(name);
    }

    long stride(String name) {
      return strides.get(name);
    }

    Buffer b(String name) {
      return buffers.get(name);
    }

    void run() {
      body.accept(this);
    }

    <T> void spoilt(Map<String, T> arguments, String name, T bad, Class<? extends Exception> type) {
      T good = arguments.put(name, bad);
      refused(type, op, name, this::run);
      arguments.put(name, good);
    }
  }

  private final List<Call> calls = new ArrayList<>();
  private final List<Buffer> watched = new ArrayList<>();
  private Kernels kernels;
  private Memory memory;
  private Sae sae;
  private PackedEncoder encoder;

  RefusalTest(Backend backend) {
    super(backend);
  }

  @BeforeEach
  void goodCalls() {
    kernels = kernels(2);
    memory = new Memory(kernels, Memory.Placement.OWNED);
    sae = kernels.sae();
    dense(kernels.dense());
    layers(kernels.layers());
    attention(kernels.attention());
    new Call("softmaxCrossEntropy")
        .count("rows", 3)
        .count("classes", 7)
        .count("width", 5)
        .floats("h", 15)
        .floats("w", 35)
        .ints("targets", 0, 6, 3)
        .floats("loss", 1)
        .floats("dh", 15)
        .floats("dw", 35)
        .body(
            c ->
                kernels
                    .loss()
                    .softmaxCrossEntropy(
                        c.n("rows"),
                        c.n("classes"),
                        c.n("width"),
                        c.b("h"),
                        c.b("w"),
                        c.b("targets"),
                        c.b("loss"),
                        c.b("dh"),
                        c.b("dw")));
    new Call("sampledSoftmaxCrossEntropy")
        .count("rows", 3)
        .count("negatives", 2)
        .count("classes", 7)
        .count("width", 5)
        .floats("h", 15)
        .floats("w", 35)
        .ints("targets", 0, 6, 3)
        .ints("sample", 2, 3)
        .floats("bias", 2)
        .floats("targetBias", 7)
        .floats("loss", 1)
        .floats("dh", 15)
        .floats("dw", 35)
        .body(
            c ->
                kernels
                    .loss()
                    .sampledSoftmaxCrossEntropy(
                        c.n("rows"),
                        c.n("negatives"),
                        c.n("classes"),
                        c.n("width"),
                        c.b("h"),
                        c.b("w"),
                        c.b("targets"),
                        c.b("sample"),
                        c.b("bias"),
                        c.b("targetBias"),
                        c.b("loss"),
                        c.b("dh"),
                        c.b("dw")));
    new Call("binaryCrossEntropy")
        .count("rows", 3)
        .count("negatives", 2)
        .count("classes", 7)
        .count("width", 5)
        .floats("h", 15)
        .floats("w", 35)
        .ints("targets", 1, 6, 3)
        .count("groups", 2)
        .ints("groupOffsets", 0, 2, 3)
        .ints("excludedOffsets", 0, 2, 3)
        .ints("excluded", 1, 6, 3)
        .floats("loss", 1)
        .floats("dh", 15)
        .floats("dw", 35)
        .body(
            c ->
                kernels
                    .loss()
                    .binaryCrossEntropy(
                        c.n("rows"),
                        c.n("negatives"),
                        c.n("classes"),
                        c.n("width"),
                        c.b("h"),
                        c.b("w"),
                        c.b("targets"),
                        c.n("groups"),
                        c.b("groupOffsets"),
                        c.b("excludedOffsets"),
                        c.b("excluded"),
                        1,
                        2,
                        1,
                        c.b("loss"),
                        c.b("dh"),
                        c.b("dw")));
    new Call("average")
        .count("count", 9)
        .floats("x", 9)
        .floats("average", 9)
        .body(c -> kernels.optimizer().average(c.n("count"), c.b("x"), .9f, c.b("average")));
    new Call("adam")
        .count("count", 9)
        .floats("x", 9)
        .floats("gradient", 9)
        .floats("m", 9)
        .floats("v", 9)
        .body(
            c ->
                kernels
                    .optimizer()
                    .adam(
                        c.n("count"),
                        c.b("x"),
                        c.b("gradient"),
                        c.b("m"),
                        c.b("v"),
                        1,
                        .1f,
                        .9f,
                        .99f,
                        1e-8f,
                        0,
                        1));
    new Call("adam")
        .count("count", 9)
        .floats("x", 9)
        .floats("gradient", 9)
        .floats("m", 9)
        .floats("v", 9)
        .floats("gradScale", 1)
        .body(
            c ->
                kernels
                    .optimizer()
                    .adam(
                        c.n("count"),
                        c.b("x"),
                        c.b("gradient"),
                        c.b("m"),
                        c.b("v"),
                        c.b("gradScale"),
                        .1f,
                        .9f,
                        .99f,
                        1e-8f,
                        0,
                        1));
    new Call("adamUnitRows")
        .count("rows", 3)
        .count("cols", 4)
        .floats("w", 12)
        .floats("gradient", 12)
        .floats("m", 12)
        .floats("v", 12)
        .floats("gradScale", 1)
        .body(c -> adamUnitRows(c, 1));
    new Call("clip")
        .count("count", 9)
        .floats("gradient", 9)
        .floats("scale", 1)
        .body(c -> kernels.optimizer().clip(c.n("count"), c.b("gradient"), 1, c.b("scale")));
    new Call("clip")
        .count("count", 9)
        .count("rows", 3)
        .count("cols", 4)
        .floats("gradient", 9)
        .floats("w", 12)
        .floats("dw", 12)
        .floats("scale", 1)
        .body(
            c ->
                kernels
                    .optimizer()
                    .clip(
                        c.n("count"),
                        c.b("gradient"),
                        c.n("rows"),
                        c.n("cols"),
                        c.b("w"),
                        c.b("dw"),
                        1,
                        c.b("scale")));
    new Call("topItems")
        .count("rows", 2)
        .count("width", 5)
        .count("tableRows", 7)
        .count("k", 3)
        .matrix("h", 2, 5)
        .floats("table", 35)
        .ints("excludedOffsets", 0, 1, 3)
        .ints("excluded", 4, 5, 6)
        .ints("items", new int[6])
        .floats("scores", 6)
        .body(
            c ->
                kernels
                    .ranking()
                    .topItems(
                        c.n("rows"),
                        c.n("width"),
                        c.n("tableRows"),
                        c.b("h"),
                        c.stride("h"),
                        c.b("table"),
                        c.n("k"),
                        c.b("excludedOffsets"),
                        c.b("excluded"),
                        c.b("items"),
                        c.b("scores")));
    new Call("compress")
        .count("tableRows", 7)
        .count("width", 5)
        .floats("table", 35)
        .body(
            c -> kernels.ranking().compress(c.n("tableRows"), c.n("width"), c.b("table")).close());
    sae();
    calls.forEach(c -> watched.addAll(c.buffers.values()));
  }

  private void dense(Dense dense) {
    new Call("gemm", "bias")
        .count("m", 3)
        .count("n", 4)
        .count("k", 5)
        .matrix("a", 5, 3)
        .matrix("b", 5, 4)
        .matrix("c", 3, 4)
        .floats("bias", 4)
        .body(
            c ->
                dense.gemm(
                    true,
                    false,
                    c.n("m"),
                    c.n("n"),
                    c.n("k"),
                    1,
                    c.b("a"),
                    c.stride("a"),
                    c.b("b"),
                    c.stride("b"),
                    1,
                    c.b("c"),
                    c.stride("c"),
                    c.b("bias"),
                    Activation.NONE));
    new Call("columnSum")
        .count("rows", 3)
        .count("cols", 4)
        .matrix("x", 3, 4)
        .floats("sum", 4)
        .body(
            c -> dense.columnSum(c.n("rows"), c.n("cols"), c.b("x"), c.stride("x"), 0, c.b("sum")));
    new Call("add")
        .count("count", 9)
        .floats("a", 9)
        .floats("b", 9)
        .floats("y", 9)
        .body(c -> dense.add(c.n("count"), 1, c.b("a"), 1, c.b("b"), c.b("y")));
    new Call("squaredNorm")
        .count("count", 9)
        .floats("x", 9)
        .floats("result", 1)
        .body(c -> dense.squaredNorm(c.n("count"), c.b("x"), c.b("result")));
  }

  private void layers(Layers layers) {
    new Call("layerNorm")
        .count("rows", 3)
        .count("cols", 4)
        .matrix("x", 3, 4)
        .floats("gamma", 4)
        .floats("beta", 4)
        .matrix("y", 3, 4)
        .floats("mean", 3)
        .floats("rstd", 3)
        .body(
            c ->
                layers.layerNorm(
                    c.n("rows"),
                    c.n("cols"),
                    1e-5f,
                    c.b("x"),
                    c.stride("x"),
                    c.b("gamma"),
                    c.b("beta"),
                    c.b("y"),
                    c.stride("y"),
                    c.b("mean"),
                    c.b("rstd")));
    new Call("layerNormBackward")
        .count("rows", 3)
        .count("cols", 4)
        .floats("dy", 12)
        .floats("x", 12)
        .floats("gamma", 4)
        .floats("mean", 3)
        .floats("rstd", 3)
        .floats("dx", 12)
        .floats("dgamma", 4)
        .floats("dbeta", 4)
        .body(
            c ->
                layers.layerNormBackward(
                    c.n("rows"),
                    c.n("cols"),
                    c.b("dy"),
                    c.b("x"),
                    c.b("gamma"),
                    c.b("mean"),
                    c.b("rstd"),
                    0,
                    c.b("dx"),
                    c.b("dgamma"),
                    c.b("dbeta")));
    new Call("rmsNorm", "rstd")
        .count("rows", 3)
        .count("cols", 4)
        .matrix("x", 3, 4)
        .floats("gamma", 4)
        .matrix("y", 3, 4)
        .floats("rstd", 3)
        .body(
            c ->
                layers.rmsNorm(
                    c.n("rows"),
                    c.n("cols"),
                    1e-5f,
                    c.b("x"),
                    c.stride("x"),
                    c.b("gamma"),
                    c.b("y"),
                    c.stride("y"),
                    c.b("rstd")));
    new Call("rmsNormBackward")
        .count("rows", 3)
        .count("cols", 4)
        .floats("dy", 12)
        .floats("x", 12)
        .floats("gamma", 4)
        .floats("rstd", 3)
        .floats("dx", 12)
        .floats("dgamma", 4)
        .body(
            c ->
                layers.rmsNormBackward(
                    c.n("rows"),
                    c.n("cols"),
                    c.b("dy"),
                    c.b("x"),
                    c.b("gamma"),
                    c.b("rstd"),
                    0,
                    c.b("dx"),
                    c.b("dgamma")));
    new Call("swiglu")
        .count("rows", 3)
        .count("cols", 4)
        .floats("x", 24)
        .floats("y", 12)
        .body(c -> layers.swiglu(c.n("rows"), c.n("cols"), c.b("x"), c.b("y")));
    new Call("swigluBackward")
        .count("rows", 3)
        .count("cols", 4)
        .floats("x", 24)
        .floats("dy", 12)
        .floats("dx", 24)
        .body(c -> layers.swigluBackward(c.n("rows"), c.n("cols"), c.b("x"), c.b("dy"), c.b("dx")));
    new Call("rotary")
        .count("rows", 3)
        .count("heads", 2)
        .count("headWidth", 4)
        .count("tableRows", 6)
        .ints("positions", 5, 0, 2)
        .floats("angles", 24)
        .matrix("x", 3, 8)
        .body(
            c ->
                layers.rotary(
                    c.n("rows"),
                    c.n("heads"),
                    c.n("headWidth"),
                    c.b("positions"),
                    c.n("tableRows"),
                    c.b("angles"),
                    false,
                    c.b("x"),
                    c.stride("x")));
    new Call("activation")
        .count("count", 9)
        .floats("x", 9)
        .floats("y", 9)
        .body(c -> layers.activation(Activation.GELU, c.n("count"), c.b("x"), c.b("y")));
    new Call("activationBackward")
        .count("count", 9)
        .floats("x", 9)
        .floats("dy", 9)
        .floats("dx", 9)
        .body(
            c ->
                layers.activationBackward(
                    Activation.GELU, c.n("count"), c.b("x"), c.b("dy"), c.b("dx")));
    new Call("dropout")
        .count("rows", 3)
        .count("cols", 4)
        .floats("x", 12)
        .floats("y", 12)
        .body(c -> layers.dropout(c.n("rows"), c.n("cols"), .5f, 1, 2, c.b("x"), c.b("y")));
    new Call("gather")
        .count("rows", 3)
        .count("cols", 4)
        .count("tableRows", 6)
        .ints("ids", 5, 0, 2)
        .floats("table", 24)
        .floats("y", 12)
        .body(
            c ->
                layers.gather(
                    c.n("rows"),
                    c.n("cols"),
                    c.b("ids"),
                    c.n("tableRows"),
                    c.b("table"),
                    1,
                    0,
                    c.b("y")));
    new Call("scatter")
        .count("rows", 3)
        .count("cols", 4)
        .count("tableRows", 6)
        .ints("ids", 5, 0, 2)
        .floats("x", 12)
        .floats("table", 24)
        .body(
            c ->
                layers.scatter(
                    c.n("rows"),
                    c.n("cols"),
                    c.b("ids"),
                    c.b("x"),
                    c.n("tableRows"),
                    c.b("table")));
    new Call("scatterAdd")
        .count("rows", 3)
        .count("cols", 4)
        .count("tableRows", 6)
        .ints("ids", 5, 0, 2)
        .floats("x", 12)
        .floats("table", 24)
        .body(
            c ->
                layers.scatterAdd(
                    c.n("rows"),
                    c.n("cols"),
                    c.b("ids"),
                    c.b("x"),
                    1,
                    c.n("tableRows"),
                    c.b("table")));
  }

  private void attention(Attention attention) {
    new Call("attention", "logSumExp")
        .count("sequences", 2)
        .count("rows", 5)
        .count("heads", 2)
        .count("headWidth", 3)
        .ints("offsets", 0, 2, 5)
        .matrix("q", 5, 6)
        .matrix("k", 5, 6)
        .matrix("v", 5, 6)
        .matrix("out", 5, 6)
        .floats("logSumExp", 10)
        .body(
            c ->
                attention.forward(
                    c.n("sequences"),
                    c.b("offsets"),
                    c.n("rows"),
                    c.n("heads"),
                    c.n("headWidth"),
                    c.b("q"),
                    c.stride("q"),
                    c.b("k"),
                    c.stride("k"),
                    c.b("v"),
                    c.stride("v"),
                    .5f,
                    1,
                    2,
                    c.b("out"),
                    c.stride("out"),
                    c.b("logSumExp")));
    new Call("attentionBackward")
        .count("sequences", 2)
        .count("rows", 5)
        .count("heads", 2)
        .count("headWidth", 3)
        .ints("offsets", 0, 2, 5)
        .matrix("q", 5, 6)
        .matrix("k", 5, 6)
        .matrix("v", 5, 6)
        .matrix("out", 5, 6)
        .floats("logSumExp", 10)
        .matrix("dOut", 5, 6)
        .matrix("dq", 5, 6)
        .matrix("dk", 5, 6)
        .matrix("dv", 5, 6)
        .body(
            c ->
                attention.backward(
                    c.n("sequences"),
                    c.b("offsets"),
                    c.n("rows"),
                    c.n("heads"),
                    c.n("headWidth"),
                    c.b("q"),
                    c.stride("q"),
                    c.b("k"),
                    c.stride("k"),
                    c.b("v"),
                    c.stride("v"),
                    .5f,
                    1,
                    2,
                    c.b("out"),
                    c.stride("out"),
                    c.b("logSumExp"),
                    c.b("dOut"),
                    c.stride("dOut"),
                    c.b("dq"),
                    c.stride("dq"),
                    c.b("dk"),
                    c.stride("dk"),
                    c.b("dv"),
                    c.stride("dv")));
    new Call("addPadding")
        .count("sequences", 2)
        .count("rows", 5)
        .count("window", 4)
        .count("heads", 2)
        .count("headWidth", 3)
        .ints("offsets", 0, 2, 5)
        .matrix("q", 5, 6)
        .floats("padKey", 6)
        .floats("padValue", 6)
        .floats("logSumExp", 10)
        .matrix("out", 5, 6)
        .body(
            c ->
                attention.addPadding(
                    c.n("sequences"),
                    c.b("offsets"),
                    c.n("rows"),
                    c.n("window"),
                    c.n("heads"),
                    c.n("headWidth"),
                    c.b("q"),
                    c.stride("q"),
                    c.b("padKey"),
                    c.b("padValue"),
                    c.b("logSumExp"),
                    c.b("out"),
                    c.stride("out")));
    new Call("attentionLast")
        .count("keys", 4)
        .count("heads", 2)
        .count("headWidth", 3)
        .floats("q", 6)
        .matrix("k", 4, 6)
        .matrix("v", 4, 6)
        .floats("out", 6)
        .body(
            c ->
                attention.last(
                    c.n("keys"),
                    c.n("heads"),
                    c.n("headWidth"),
                    c.b("q"),
                    c.b("k"),
                    c.stride("k"),
                    c.b("v"),
                    c.stride("v"),
                    c.b("out")));
  }

  private void adamUnitRows(Call c, long step) {
    kernels
        .optimizer()
        .adamUnitRows(
            c.n("rows"),
            c.n("cols"),
            c.b("w"),
            c.b("gradient"),
            c.b("m"),
            c.b("v"),
            c.b("gradScale"),
            .1f,
            .9f,
            .99f,
            1e-8f,
            step);
  }

  private void sae() {
    encoder = memory.own(sae.encoder(6, 4));
    Call pack =
        new Call("pack", "subset")
            .count("features", 6)
            .floats("wEnc", 24)
            .floats("bEnc", 6)
            .floats("bDec", 4)
            .ints("subset", 0, 1, 2, 3, 4, 5)
            .body(
                c ->
                    sae.pack(
                        encoder,
                        c.n("features"),
                        c.b("wEnc"),
                        c.b("bEnc"),
                        c.b("bDec"),
                        c.b("subset"),
                        6));
    pack.run();
    new Call("encodeTopK")
        .count("rows", 3)
        .count("K", 2)
        .matrix("x", 3, 4)
        .ints("indices", new int[6])
        .floats("values", 6)
        .body(
            c ->
                sae.encodeTopK(
                    encoder,
                    c.n("rows"),
                    c.n("K"),
                    c.b("x"),
                    c.stride("x"),
                    c.b("indices"),
                    c.b("values")));
    new Call("decode", "bDec")
        .count("rows", 3)
        .count("K", 2)
        .count("features", 6)
        .count("width", 4)
        .ints("indices", 0, 5, 1, 2, 3, 4)
        .floats("values", 6)
        .floats("wDec", 24)
        .floats("bDec", 4)
        .matrix("y", 3, 4)
        .body(
            c ->
                sae.decode(
                    c.n("rows"),
                    c.n("K"),
                    c.n("features"),
                    c.n("width"),
                    c.b("indices"),
                    c.b("values"),
                    c.b("wDec"),
                    c.b("bDec"),
                    c.b("y"),
                    c.stride("y")));
    new Call("decodeLoss", "denominator", "bDec", "error", "dz")
        .count("rows", 3)
        .count("K", 2)
        .count("features", 6)
        .count("width", 4)
        .matrix("x", 3, 4)
        .floats("denominator", 1)
        .ints("indices", 0, 5, 1, 2, 3, 4)
        .floats("values", 6)
        .floats("wDec", 24)
        .floats("bDec", 4)
        .floats("error", 12)
        .floats("g", 12)
        .floats("squares", 3)
        .floats("dz", 6)
        .body(
            c ->
                sae.decodeLoss(
                    c.n("rows"),
                    c.n("K"),
                    c.n("features"),
                    c.n("width"),
                    c.b("x"),
                    c.stride("x"),
                    2,
                    c.b("denominator"),
                    c.b("indices"),
                    c.b("values"),
                    c.b("wDec"),
                    c.b("bDec"),
                    c.b("error"),
                    c.b("g"),
                    c.b("squares"),
                    c.b("dz")));
    new Call("saeBackward", "dz")
        .count("rows", 3)
        .count("K", 2)
        .count("features", 6)
        .count("width", 4)
        .matrix("x", 3, 4)
        .floats("g", 12)
        .ints("indices", 0, 5, 1, 2, 3, 4)
        .floats("values", 6)
        .floats("dz", 6)
        .floats("wEnc", 24)
        .floats("wDec", 24)
        .floats("bDec", 4)
        .floats("dWEnc", 24)
        .floats("dWDec", 24)
        .floats("dBEnc", 6)
        .floats("dBDec", 4)
        .body(
            c ->
                sae.backward(
                    c.n("rows"),
                    c.n("K"),
                    c.n("features"),
                    c.n("width"),
                    c.b("x"),
                    c.stride("x"),
                    c.b("g"),
                    0,
                    c.b("indices"),
                    c.b("values"),
                    c.b("dz"),
                    c.b("wEnc"),
                    c.b("wDec"),
                    c.b("bDec"),
                    true,
                    c.b("dWEnc"),
                    c.b("dWDec"),
                    c.b("dBEnc"),
                    c.b("dBDec")));
    new Call("projectRows")
        .count("rows", 3)
        .count("cols", 4)
        .floats("w", 12)
        .floats("dw", 12)
        .body(c -> sae.projectRows(c.n("rows"), c.n("cols"), c.b("w"), c.b("dw")));
    new Call("normaliseRows")
        .count("rows", 3)
        .count("cols", 4)
        .floats("w", 12)
        .body(c -> sae.normaliseRows(c.n("rows"), c.n("cols"), c.b("w")));
    new Call("countFired")
        .count("rows", 3)
        .count("K", 2)
        .count("features", 6)
        .ints("indices", 0, 5, 1, 2, 3, 4)
        .floats("values", 6)
        .ints("counts", new int[6])
        .body(
            c ->
                sae.countFired(
                    c.n("rows"),
                    c.n("K"),
                    c.n("features"),
                    c.b("indices"),
                    c.b("values"),
                    c.b("counts")));
    new Call("steer")
        .count("rows", 3)
        .count("K", 2)
        .floats("wDec", 24)
        .floats("bDec", 4)
        .matrix("x", 3, 4)
        .matrix("y", 3, 4)
        .ints("indices", new int[6])
        .floats("values", 6)
        .body(c -> steer(c, new EditTable(0)));
    new Call("attentionLastEach")
        .count("sequences", 2)
        .count("rows", 5)
        .count("heads", 2)
        .count("headWidth", 3)
        .ints("offsets", 0, 3, 5)
        .matrix("q", 2, 6)
        .matrix("k", 5, 6)
        .matrix("v", 5, 6)
        .matrix("out", 2, 6)
        .body(
            c ->
                kernels
                    .attention()
                    .lastEach(
                        c.n("sequences"),
                        c.b("offsets"),
                        c.n("rows"),
                        c.n("heads"),
                        c.n("headWidth"),
                        c.b("q"),
                        c.stride("q"),
                        c.b("k"),
                        c.stride("k"),
                        c.b("v"),
                        c.stride("v"),
                        c.b("out"),
                        c.stride("out")));
    new Call("applyEdits")
        .count("rows", 3)
        .count("K", 2)
        .count("features", 6)
        .count("width", 4)
        .ints("indices", 0, 5, 1, 2, 4, Sae.END)
        .floats("values", 6)
        .floats("wDec", 24)
        .floats("bDec", 4)
        .matrix("x", 3, 4)
        .matrix("y", 3, 4)
        .body(
            c ->
                sae.applyEdits(
                    c.n("rows"),
                    c.n("K"),
                    c.n("features"),
                    c.n("width"),
                    c.b("indices"),
                    c.b("values"),
                    c.b("wDec"),
                    c.b("bDec"),
                    c.b("x"),
                    c.stride("x"),
                    new EditTable(0),
                    c.b("y"),
                    c.stride("y")));
    lists();
  }

  private void lists() {
    thresholds(new Call("encodeAbove"))
        .count("rows", 3)
        .matrix("x", 3, 4)
        .ints("indices", new int[18])
        .floats("values", 18)
        .body(
            c ->
                sae.encodeAbove(
                    encoder,
                    thresholdsOf(c),
                    c.n("rows"),
                    c.b("x"),
                    c.stride("x"),
                    c.b("indices"),
                    c.b("values")));
    list(thresholds(new Call("activate")))
        .floats("scores", 6)
        .floats("values", 6)
        .body(
            c ->
                sae.activate(
                    c.n("rows"),
                    c.n("K"),
                    c.n("features"),
                    c.b("indices"),
                    c.b("scores"),
                    thresholdsOf(c),
                    c.b("values")));
    list(new Call("keepLargest"))
        .count("left", 4)
        .floats("values", 6)
        .floats("least", 1)
        .body(
            c ->
                sae.keepLargest(
                    c.n("rows"),
                    c.n("K"),
                    c.n("features"),
                    c.n("left"),
                    c.b("indices"),
                    c.b("values"),
                    c.b("least")));
    list(new Call("slice"))
        .count("low", 2)
        .count("high", 5)
        .floats("values", 6)
        .ints("toIndices", new int[6])
        .floats("toValues", 6)
        .body(
            c ->
                sae.slice(
                    c.n("rows"),
                    c.n("K"),
                    c.n("features"),
                    c.n("low"),
                    c.n("high"),
                    c.b("indices"),
                    c.b("values"),
                    c.b("toIndices"),
                    c.b("toValues")));
    list(new Call("sumValues"))
        .floats("values", 6)
        .floats("sums", 3)
        .body(
            c ->
                sae.sumValues(
                    c.n("rows"),
                    c.n("K"),
                    c.n("features"),
                    c.b("indices"),
                    c.b("values"),
                    c.b("sums")));
    list(new Call("thresholdBackward"))
        .count("width", 4)
        .floats("g", 12)
        .floats("scores", 6)
        .floats("threshold", 6)
        .floats("wDec", 24)
        .floats("dThreshold", 6)
        .body(
            c ->
                sae.thresholdBackward(
                    c.n("rows"),
                    c.n("K"),
                    c.n("features"),
                    c.n("width"),
                    0.5f,
                    c.b("g"),
                    1,
                    c.b("indices"),
                    c.b("scores"),
                    c.b("threshold"),
                    c.b("wDec"),
                    c.b("dThreshold")));
    new Call("scaleRows")
        .count("rows", 3)
        .count("cols", 4)
        .floats("factors", 3)
        .floats("w", 12)
        .floats("to", 12)
        .body(c -> sae.scaleRows(c.n("rows"), c.n("cols"), c.b("factors"), c.b("w"), 1, c.b("to")));
    new Call("dotRows")
        .count("rows", 3)
        .count("cols", 4)
        .floats("a", 12)
        .floats("b", 12)
        .floats("dots", 3)
        .body(c -> sae.dotRows(c.n("rows"), c.n("cols"), c.b("a"), c.b("b"), c.b("dots")));
    thresholds(new Call("steerAbove"))
        .count("rows", 3)
        .floats("wDec", 24)
        .floats("bDec", 4)
        .matrix("x", 3, 4)
        .matrix("y", 3, 4)
        .ints("indices", new int[18])
        .floats("values", 18)
        .body(
            c ->
                sae.steerAbove(
                    encoder,
                    thresholdsOf(c),
                    c.b("wDec"),
                    c.b("bDec"),
                    c.n("rows"),
                    c.b("x"),
                    c.stride("x"),
                    new EditTable(0),
                    c.b("y"),
                    c.stride("y"),
                    c.b("indices"),
                    c.b("values")));
  }

  private static Call list(Call call) {
    return call.count("rows", 3)
        .count("K", 2)
        .count("features", 6)
        .ints("indices", 0, 5, 1, -1, 3, 4);
  }

  private static Call thresholds(Call call) {
    return call.floats("threshold", 6).floats("gain", 6).floats("offset", 6);
  }

  private static Thresholds thresholdsOf(Call c) {
    return new Thresholds(c.b("threshold"), c.b("gain"), c.b("offset"));
  }

  private void steer(Call c, EditTable edits) {
    sae.steer(
        encoder,
        c.b("wDec"),
        c.b("bDec"),
        c.n("rows"),
        c.n("K"),
        c.b("x"),
        c.stride("x"),
        edits,
        c.b("y"),
        c.stride("y"),
        c.b("indices"),
        c.b("values"));
  }

  @AfterEach
  void free() {
    memory.close();
  }

  private Call call(String op) {
    return calls.stream().filter(c -> c.op.equals(op)).findFirst().orElseThrow();
  }

  private void refused(Class<? extends Exception> type, String op, String what, Runnable call) {
    int[] before = bits();
    boolean[] queued = new boolean[1];
    Exception e =
        assertThrows(
            type,
            () -> {
              call.run();
              queued[0] = true;
              kernels.finish();
            },
            () -> op + " with a bad " + what);
    if (type != IllegalStateException.class) {
      assertTrue(e.getMessage().startsWith(op + ": "), e.getMessage());
      assertTrue(e.getMessage().contains(what), () -> e.getMessage() + " must name " + what);
    }
    // What a device finds wrong with data it finds while it writes.
    if (!queued[0]) {
      assertArrayEquals(before, bits(), () -> op + " wrote before it refused a bad " + what);
    }
  }

  private int[] bits() {
    return watched.stream()
        .flatMapToInt(
            b -> {
              if (b.dtype() == DType.I32) {
                return Arrays.stream(b.ints());
              }
              float[] values = b.floats();
              return IntStream.range(0, values.length).map(i -> Float.floatToRawIntBits(values[i]));
            })
        .toArray();
  }

  @Test
  void theGoodCallsAreGood() {
    calls.forEach(Call::run);
  }

  @Test
  void countsOutOfBounds() {
    for (Call call : calls) {
      for (String name : call.counts.keySet()) {
        call.spoilt(call.counts, name, -1L, IllegalArgumentException.class);
        if (name.equals("count")) {
          refused(
              IllegalArgumentException.class,
              call.op,
              "elements",
              () -> {
                long good = call.counts.put(name, Long.MAX_VALUE);
                try {
                  call.run();
                } finally {
                  call.counts.put(name, good);
                }
              });
        } else {
          call.spoilt(call.counts, name, (long) Integer.MAX_VALUE, IllegalArgumentException.class);
          call.spoilt(call.counts, name, Long.MAX_VALUE, IllegalArgumentException.class);
        }
      }
    }
  }

  @Test
  void stridesBelowARow() {
    for (Call call : calls) {
      for (String name : call.strides.keySet()) {
        long cols = call.stride(name) - 2;
        for (long bad : new long[] {cols - 1, 0, -cols, Long.MAX_VALUE}) {
          call.spoilt(call.strides, name, bad, IllegalArgumentException.class);
        }
      }
    }
  }

  @Test
  void buffersOneElementShort() {
    for (Call call : calls) {
      for (String name : call.buffers.keySet()) {
        Buffer good = call.b(name);
        call.spoilt(
            call.buffers, name, good.slice(0, good.count() - 1), IllegalArgumentException.class);
      }
    }
  }

  @Test
  void buffersOfTheWrongType() {
    for (Call call : calls) {
      for (String name : call.buffers.keySet()) {
        Buffer good = call.b(name);
        DType other = good.dtype() == DType.F32 ? DType.I32 : DType.F32;
        Buffer bad = memory.own(kernels.allocate(other, good.count()));
        call.spoilt(call.buffers, name, bad, IllegalArgumentException.class);
      }
    }
  }

  @Test
  void buffersThatAreMissing() {
    for (Call call : calls) {
      for (String name : call.buffers.keySet()) {
        if (!call.optional.contains(name)) {
          call.spoilt(call.buffers, name, null, IllegalArgumentException.class);
        }
      }
    }
  }

  @Test
  void closedBuffers() {
    for (Call call : calls) {
      for (String name : call.buffers.keySet()) {
        Buffer closed = kernels.allocate(call.b(name).dtype(), call.b(name).count());
        Buffer slice = closed.slice(0, closed.count());
        closed.close();
        call.spoilt(call.buffers, name, closed, IllegalStateException.class);
        call.spoilt(call.buffers, name, slice, IllegalStateException.class);
      }
    }
  }

  private void spoiltInts(String op, String name, String what, int... values) {
    Call call = call(op);
    Buffer bad = memory.ints(values).buffer;
    Buffer good = call.buffers.put(name, bad);
    refused(IllegalArgumentException.class, op, what, call::run);
    call.buffers.put(name, good);
  }

  @Test
  void indicesOutOfRangeNameTheirRow() {
    for (int bad : new int[] {-1, 6, Integer.MAX_VALUE, Integer.MIN_VALUE}) {
      for (String op : new String[] {"gather", "scatterAdd"}) {
        spoiltInts(op, "ids", "row 2", 0, 5, bad);
      }
      for (String op :
          new String[] {
            "decode",
            "decodeLoss",
            "saeBackward",
            "countFired",
            "activate",
            "keepLargest",
            "slice",
            "sumValues",
            "thresholdBackward"
          }) {
        // -1 ends a row.
        spoiltInts(op, "indices", "row 1", 0, 1, 2, bad == Sae.END ? -2 : bad, 4, 5);
      }
    }
    spoiltInts("softmaxCrossEntropy", "targets", "row 1", 0, 7, 0);
    spoiltInts("softmaxCrossEntropy", "targets", "row 2", 0, 6, -1);
    spoiltInts("sampledSoftmaxCrossEntropy", "targets", "row 1", 0, 7, 0);
    spoiltInts("sampledSoftmaxCrossEntropy", "sample", "sample", 3, 7);
    spoiltInts("sampledSoftmaxCrossEntropy", "sample", "sample", 3, 3);
    spoiltInts("sampledSoftmaxCrossEntropy", "sample", "sample", -1, 3);
    spoiltInts("binaryCrossEntropy", "targets", "row 0", 0, 6, 3);
    spoiltInts("binaryCrossEntropy", "targets", "row 1", 1, 7, 3);
    spoiltInts("binaryCrossEntropy", "excluded", "group 0", 1, 1, 3);
    spoiltInts("binaryCrossEntropy", "excluded", "group 0", 0, 1, 3);
    spoiltInts("binaryCrossEntropy", "excluded", "group 1", 1, 6, 7);
  }

  @Test
  void offsetsThatDoNotAscendWithinBounds() {
    for (String op : new String[] {"attention", "attentionBackward"}) {
      for (int[] bad : new int[][] {{0, 6, 5}, {1, 2, 5}, {0, 2, 4}, {0, -1, 5}, {0, 2, 6}}) {
        spoiltInts(op, "offsets", "offsets", bad);
      }
    }
    for (int[] bad : new int[][] {{0, 2, 1}, {1, 2, 3}, {0, 1, 4}, {0, -1, 3}, {0, 2, 2}}) {
      spoiltInts("binaryCrossEntropy", "groupOffsets", "groupOffsets", bad);
    }
    for (int[] bad : new int[][] {{0, 2, 1}, {1, 2, 3}, {0, 1, 4}, {0, -1, 3}}) {
      spoiltInts("binaryCrossEntropy", "excludedOffsets", "excludedOffsets", bad);
      spoiltInts("topItems", "excludedOffsets", "excludedOffsets", bad);
    }
    for (int[] bad : new int[][] {{0, 1, 2, 3, 4, 6}, {0, 1, 1, 3, 4, 5}, {-1, 1, 2, 3, 4, 5}}) {
      spoiltInts("pack", "subset", "subset", bad);
    }
  }

  @Test
  void settingsOutOfBounds() {
    Call dropout = call("dropout");
    for (float bad : new float[] {1, -.1f, Float.NaN, 2}) {
      refused(
          IllegalArgumentException.class,
          "dropout",
          "p = ",
          () -> kernels.layers().dropout(3, 4, bad, 1, 2, dropout.b("x"), dropout.b("y")));
    }
    Call last = call("attention");
    refused(
        IllegalArgumentException.class,
        "attention",
        "p = ",
        () ->
            kernels
                .attention()
                .forward(
                    2,
                    last.b("offsets"),
                    5,
                    2,
                    3,
                    last.b("q"),
                    8,
                    last.b("k"),
                    8,
                    last.b("v"),
                    8,
                    1,
                    1,
                    1,
                    last.b("out"),
                    8,
                    null));
    Call adam = call("adam");
    refused(
        IllegalArgumentException.class,
        "adam",
        "step = 0",
        () ->
            kernels
                .optimizer()
                .adam(
                    9,
                    adam.b("x"),
                    adam.b("gradient"),
                    adam.b("m"),
                    adam.b("v"),
                    1,
                    1,
                    0,
                    0,
                    1,
                    0,
                    0));
    Call unitRows = call("adamUnitRows");
    refused(
        IllegalArgumentException.class,
        "adamUnitRows",
        "step = 0",
        () -> adamUnitRows(unitRows, 0));
    Call clip = call("clip");
    for (float bad : new float[] {-1, Float.NaN}) {
      refused(
          IllegalArgumentException.class,
          "clip",
          "most = ",
          () -> kernels.optimizer().clip(9, clip.b("gradient"), bad, clip.b("scale")));
    }
    Call activation = call("activation");
    refused(
        IllegalArgumentException.class,
        "activation",
        "activation",
        () -> kernels.layers().activation(null, 9, activation.b("x"), activation.b("y")));
  }

  @Test
  void moreKeptThanThereAreFeatures() {
    Call encode = call("encodeTopK");
    for (long bad : new long[] {0, 7}) {
      encode.spoilt(encode.counts, "K", bad, IllegalArgumentException.class);
    }
    Call steer = call("steer");
    Buffer indices = memory.ints(new int[21]).buffer;
    Buffer values = memory.vector(21).buffer;
    steer.buffers.put("indices", indices);
    steer.buffers.put("values", values);
    steer.spoilt(steer.counts, "K", 7L, IllegalArgumentException.class);
  }

  @Test
  void encodersThatDoNotFit() {
    Call pack = call("pack");
    Call encode = call("encodeTopK");
    refused(
        IllegalArgumentException.class,
        "pack",
        "capacity",
        () ->
            sae.pack(
                memory.own(sae.encoder(5, 4)),
                6,
                pack.b("wEnc"),
                pack.b("bEnc"),
                pack.b("bDec"),
                null,
                0));
    refused(
        IllegalArgumentException.class,
        "encodeTopK",
        "K = 1",
        () ->
            sae.encodeTopK(
                memory.own(sae.encoder(5, 4)),
                3,
                1,
                encode.b("x"),
                6,
                encode.b("indices"),
                encode.b("values")));
    sae.pack(
        encoder, 6, pack.b("wEnc"), pack.b("bEnc"), pack.b("bDec"), memory.ints(1, 4, 5).buffer, 3);
    refused(IllegalArgumentException.class, "steer", "subset", () -> call("steer").run());
    encoder.close();
    encoder.close();
    refused(IllegalStateException.class, "encodeTopK", "encoder", encode::run);
    refused(IllegalStateException.class, "pack", "encoder", pack::run);
    refused(IllegalStateException.class, "steer", "encoder", () -> call("steer").run());
  }

  @Test
  void editsOfFeaturesThatDoNotExist() {
    EditTable edits = new EditTable(1);
    edits.put(6, EditTable.Op.ABLATE, 0, 0);
    Call steer = call("steer");
    refused(IllegalArgumentException.class, "steer", "feature 6", () -> steer(steer, edits));
    refused(IllegalArgumentException.class, "steer", "edits", () -> steer(steer, null));
  }

  private void notANumber(String op, String name, int at, float value, String what) {
    Call call = call(op);
    call.b(name).put(at, new float[] {value}, 0, 1);
    ArithmeticException e =
        assertThrows(
            ArithmeticException.class,
            () -> {
              call.run();
              kernels.finish();
            });
    assertTrue(e.getMessage().startsWith(op + ": "), e.getMessage());
    assertTrue(e.getMessage().contains(what), e.getMessage());
  }

  @Test
  void scoresThatAreNotNumbersNameTheirRow() {
    notANumber("encodeTopK", "x", 6 + 3, Float.NaN, "row 1");
    notANumber("steer", "x", 12, Float.NaN, "row 2");
    notANumber("topItems", "h", 7 + 2, Float.NaN, "row 1");
  }

  @Test
  void aNanAmongManyScoresIsSeen() {
    int rows = 37;
    int tableRows = 4001;
    Matrix h = memory.matrix(rows, 2, 2, (r, c) -> r == 30 && c == 0 ? 0 : 1);
    // Zero times infinity is no number, in that row and item alone.
    Matrix table =
        memory.matrix(
            tableRows, 2, 2, (item, c) -> item == 3777 && c == 0 ? Double.POSITIVE_INFINITY : 0);
    Ints items = memory.ints(rows * 5, i -> 0);
    Matrix scores = memory.matrix(rows, 5, 5);
    ArithmeticException e =
        assertThrows(
            ArithmeticException.class,
            () -> {
              kernels
                  .ranking()
                  .topItems(
                      rows,
                      2,
                      tableRows,
                      h.buffer,
                      2,
                      table.buffer,
                      5,
                      null,
                      null,
                      items.buffer,
                      scores.buffer);
              kernels.finish();
            });
    assertTrue(e.getMessage().contains("row 30"), e.getMessage());
  }

  @Test
  void weightsThatAreNotFiniteNameTheirFeature() {
    notANumber("pack", "wEnc", 4 * 5 + 3, Float.NaN, "feature 5");
    notANumber("pack", "wEnc", 4 * 2, Float.POSITIVE_INFINITY, "feature 2");
    notANumber("pack", "bEnc", 1, Float.NEGATIVE_INFINITY, "feature 1");
  }

  @Test
  void closedKernels() {
    Kernels sibling = kernels.fork(1);
    sibling.close();
    sibling.close();
    assertThrows(IllegalStateException.class, sibling::dense);
    assertThrows(IllegalStateException.class, sibling::layers);
    assertThrows(IllegalStateException.class, sibling::attention);
    assertThrows(IllegalStateException.class, sibling::loss);
    assertThrows(IllegalStateException.class, sibling::optimizer);
    assertThrows(IllegalStateException.class, sibling::sae);
    assertThrows(IllegalStateException.class, sibling::ranking);
    assertThrows(IllegalStateException.class, () -> sibling.allocate(DType.F32, 1));
    assertThrows(IllegalStateException.class, () -> sibling.fork(1));
  }
}

package dev.rhumb.model;

import dev.rhumb.checkpoint.FormatException;
import dev.rhumb.checkpoint.Safetensors;
import dev.rhumb.data.Catalogue;
import dev.rhumb.kernels.Activation;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import dev.rhumb.kernels.Kernels;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;

/**
 * A SASRec that was trained elsewhere: its state dict, saved as safetensors, becomes a {@link
 * Model} whose logits are those of the original, for histories of any length. Tensors may be F32,
 * F16, BF16 or F64; each is used or refused.
 *
 * <p>Of <a href="https://github.com/pmixer/SASRec.pytorch">pmixer/SASRec.pytorch</a>, with N the
 * number of a block:
 *
 * <pre>
 * item_emb.weight (V+1, D)                             item_embedding.weight
 * pos_emb.weight (T, D) or (T+1, D)                    position_embedding.weight (T, D)
 * attention_layernorms.N.weight, .bias                 blocks.N.norm1
 * attention_layers.N.in_proj_weight, _bias (3D, D)     blocks.N.attention.in
 * attention_layers.N.out_proj.weight, .bias            blocks.N.attention.out
 * forward_layernorms.N.weight, .bias                   blocks.N.norm2
 * forward_layers.N.conv1.weight (D, D, 1), .bias       blocks.N.mlp.up
 * forward_layers.N.conv2.weight (D, D, 1), .bias       blocks.N.mlp.down
 * last_layernorm.weight, .bias                         final_norm
 * </pre>
 *
 * <p>All its versions multiply item embeddings by sqrt(D), use ReLU and an epsilon of 1e-8, pad on
 * the left to T, and let items attend to the padding ({@link Padding}). They differ in wiring and
 * positions, which the state dict does not tell: see {@link Source}.
 *
 * <p>Of <a href="https://github.com/RUCAIBox/RecBole">RecBole</a>'s SASRec, which is {@link
 * BlockStyle#POST_LN} with an epsilon of 1e-12 and padding that no item sees:
 *
 * <pre>
 * item_embedding.weight (V+1, D)                                     item_embedding.weight
 * position_embedding.weight (T, D)                                   position_embedding.weight
 * LayerNorm.weight, .bias                                            embedding_norm
 * trm_encoder.layer.N.multi_head_attention.query, .key, .value (D, D)  blocks.N.attention.in
 * trm_encoder.layer.N.multi_head_attention.dense                     blocks.N.attention.out
 * trm_encoder.layer.N.multi_head_attention.LayerNorm                 blocks.N.norm1
 * trm_encoder.layer.N.feed_forward.dense_1 (M, D)                    blocks.N.mlp.up
 * trm_encoder.layer.N.feed_forward.dense_2 (D, M)                    blocks.N.mlp.down
 * trm_encoder.layer.N.feed_forward.LayerNorm                         blocks.N.norm2
 * </pre>
 */
public final class StateDictImport {
  private static final String MANY = "take a whole state dict of one SASRec";

  /** Whose naming and wiring a state dict has. */
  public enum Source {
    /**
     * pmixer since May 2025: positions 1 to T, pos_emb (T+1, D) with row 0 for padding; blocks h =
     * LN(h + Attn(h)), h = LN(h + FFN(h)), or with its option norm_first h = h + Attn(LN(h)), h = h
     * + FFN(LN(h)).
     */
    PMIXER,
    /** pmixer from June 2024 on: the blocks of {@link BlockStyle#SASREC}, positions as since. */
    PMIXER_2024,
    /**
     * pmixer before: the same blocks, positions 0 to T-1, pos_emb (T, D), rows of padding zeroed
     * before every block.
     */
    PMIXER_2020,
    /** RecBole. */
    RECBOLE;

    /** The name on the command line. */
    public String label() {
      return name().toLowerCase(Locale.ROOT).replace('_', '-');
    }
  }

  /**
   * What a state dict does not tell.
   *
   * @param source whose it is
   * @param heads H, in training
   * @param normFirst pmixer's option norm_first; false elsewhere
   * @param activation RecBole's hidden_act: {@link Activation#GELU_ERF} for its gelu, RELU, or SILU
   *     for its swish; RELU for pmixer
   */
  public record Options(Source source, int heads, boolean normFirst, Activation activation) {
    /** Refuses what the source does not have. */
    public Options {
      if (normFirst && source != Source.PMIXER) {
        throw new IllegalArgumentException(
            "import: norm-first is an option of pmixer alone, not of " + source.label());
      }
      boolean recbole = source == Source.RECBOLE;
      if (!recbole && activation != Activation.RELU) {
        throw new IllegalArgumentException(
            "import: models of " + source.label() + " use relu, not " + activation);
      }
    }

    /** The usual options of a source. */
    public static Options of(Source source, int heads) {
      return new Options(
          source, heads, false, source == Source.RECBOLE ? Activation.GELU_ERF : Activation.RELU);
    }
  }

  private final Kernels kernels;
  private final Path file;
  private final Safetensors tensors;
  private final Options options;
  private final Set<String> used = new HashSet<>();

  private StateDictImport(Kernels kernels, Path file, Safetensors tensors, Options options) {
    this.kernels = kernels;
    this.file = file;
    this.tensors = tensors;
    this.options = options;
  }

  /**
   * Reads a state dict.
   *
   * @param file safetensors
   * @param items V of the dataset that the model is for
   * @param rows for each item from 1 to V its row in the file's item embedding, {@code rows[0]} =
   *     0; null where row i is item i
   * @return the model, owned by the caller
   * @throws FormatException when the file is no safetensors file, or lacks a tensor, has one of
   *     another shape or one too many, or another number of items: it names file, tensor and mend
   * @throws IllegalArgumentException when the heads do not divide the width
   */
  public static Model read(Kernels kernels, Path file, Options options, int items, int[] rows) {
    refusePickle(file);
    try (Safetensors tensors = Safetensors.load(file)) {
      StateDictImport reader = new StateDictImport(kernels, file, tensors, options);
      Model model = options.source == Source.RECBOLE ? reader.recbole(items) : reader.pmixer(items);
      try {
        reader.refuseUnused();
        if (rows != null) {
          reader.reorder(model.itemTable(), rows, model.config().width());
        }
        return model;
      } catch (RuntimeException | Error e) {
        model.close();
        throw e;
      }
    }
  }

  /**
   * Reads which row of an item embedding belongs to which item: UTF-8 lines {@code row TAB external
   * id}, every row from 1 to V and every item once.
   *
   * @return for each item from 1 to V its row, and 0 at 0
   * @throws FormatException when a line is none of these: it names file, line and mend
   */
  public static int[] readRows(Path file, Catalogue catalogue) {
    int items = catalogue.items();
    int[] rows = new int[items + 1];
    boolean[] taken = new boolean[items + 1];
    List<String> lines;
    try {
      lines = Files.readAllLines(file, StandardCharsets.UTF_8);
    } catch (CharacterCodingException e) {
      throw new FormatException(file, "the file", "is no UTF-8 text", "save it in UTF-8");
    } catch (IOException e) {
      throw new UncheckedIOException("cannot read " + file, e);
    }
    for (int i = 0; i < lines.size(); i++) {
      String where = "line " + (i + 1);
      String[] fields = lines.get(i).split("\t", -1);
      if (fields.length != 2) {
        throw new FormatException(
            file,
            where,
            "has " + fields.length + " fields",
            "write a row of the item embedding, a tab and the item's id in the dataset");
      }
      int row = row(fields[0], items);
      if (row == 0) {
        throw new FormatException(
            file, where, "'" + fields[0] + "' is no row from 1 to " + items, "correct the line");
      }
      int item = catalogue.itemOf(fields[1]);
      if (item == 0) {
        throw new FormatException(
            file,
            where,
            "the dataset has no item '" + fields[1] + "'",
            "give the ids of the dataset that is named with --data");
      }
      if (taken[row] || rows[item] != 0) {
        throw new FormatException(
            file,
            where,
            (taken[row] ? "row " + row : "item '" + fields[1] + "'") + " is there already",
            "name every row and every item once");
      }
      taken[row] = true;
      rows[item] = row;
    }
    if (lines.size() != items) {
      throw new FormatException(
          file,
          "line " + (lines.size() + 1),
          lines.size() + " of the dataset's " + items + " items have a row",
          "name every item once");
    }
    return rows;
  }

  private static int row(String text, int most) {
    try {
      int row = Integer.parseInt(text);
      return row >= 1 && row <= most ? row : 0;
    } catch (NumberFormatException e) {
      return 0;
    }
  }

  private Model pmixer(int items) {
    boolean masked = options.source == Source.PMIXER_2020;
    boolean first = options.normFirst;
    int width = itemWidth("item_emb.weight", items);
    int positions = length("pos_emb.weight", 0, 2);
    int layers = layers("attention_layernorms.");
    BlockStyle style =
        options.source == Source.PMIXER
            ? first ? BlockStyle.GPT2 : BlockStyle.POST_LN
            : BlockStyle.SASREC;
    Wiring wiring =
        new Wiring(Activation.RELU, true, false, true, masked ? Padding.LEFT_ZEROED : Padding.LEFT);
    ModelConfig config =
        new ModelConfig(
            style,
            items,
            width,
            layers,
            options.heads,
            masked ? positions : atLeastOne(positions - 1),
            width,
            0,
            1e-8f,
            wiring);
    return fill(
        config,
        parameters -> {
          long d = width;
          copy("item_emb.weight", parameters.get(Parameters.ITEMS), items + 1L, d);
          positions(parameters.get(Parameters.POSITIONS), positions, d, masked);
          for (int i = 0; i < layers; i++) {
            Parameters.Block p = parameters.block(i);
            String attention = "attention_layers." + i + ".";
            String forward = "forward_layers." + i + ".";
            norm("attention_layernorms." + i, p.norm1(), d);
            copy(attention + "in_proj_weight", p.in().weight(), 3 * d, d);
            copy(attention + "in_proj_bias", p.in().bias(), 3 * d);
            linear(attention + "out_proj", p.out(), d, d);
            norm("forward_layernorms." + i, p.norm2(), d);
            linear(forward + "conv1", p.up(), d, d, 1);
            linear(forward + "conv2", p.down(), d, d, 1);
          }
          norm("last_layernorm", parameters.norm(Parameters.FINAL_NORM), d);
        });
  }

  /** Position t of the window is row t, or row t + 1 where row 0 is that of padding. */
  private void positions(Buffer target, int rows, long d, boolean masked) {
    String name = "pos_emb.weight";
    try (Buffer all = kernels.allocate(DType.F32, rows * d)) {
      copy(name, all, rows, d);
      boolean zero = zero(all.slice(0, d));
      if (masked && zero) {
        throw new FormatException(
            file,
            "tensor " + name,
            "row 0 is zero, as in models since June 2024",
            "import it from pmixer or pmixer-2024");
      }
      if (!masked && !zero) {
        throw new FormatException(
            file,
            "tensor " + name,
            "row 0, that of padding, is not zero, as in models before June 2024",
            "import it from pmixer-2020");
      }
      target.copyFrom(all.slice(masked ? 0 : d, target.count()));
    }
  }

  private Model recbole(int items) {
    int width = itemWidth("item_embedding.weight", items);
    int length = length("position_embedding.weight", 0, 2);
    int layers = layers("trm_encoder.layer.");
    int inner = length("trm_encoder.layer.0.feed_forward.dense_1.weight", 0, 2);
    Wiring wiring = new Wiring(options.activation, false, true, false, Padding.NONE);
    ModelConfig config =
        new ModelConfig(
            BlockStyle.POST_LN,
            items,
            width,
            layers,
            options.heads,
            length,
            inner,
            0,
            1e-12f,
            wiring);
    return fill(
        config,
        parameters -> {
          long d = width;
          copy("item_embedding.weight", parameters.get(Parameters.ITEMS), items + 1L, d);
          copy("position_embedding.weight", parameters.get(Parameters.POSITIONS), length, d);
          norm("LayerNorm", parameters.norm(Parameters.EMBEDDING_NORM), d);
          for (int i = 0; i < layers; i++) {
            Parameters.Block p = parameters.block(i);
            String attention = "trm_encoder.layer." + i + ".multi_head_attention.";
            String forward = "trm_encoder.layer." + i + ".feed_forward.";
            linear(attention + "query", p.in().rows(0, d), d, d);
            linear(attention + "key", p.in().rows(d, d), d, d);
            linear(attention + "value", p.in().rows(2 * d, d), d, d);
            linear(attention + "dense", p.out(), d, d);
            norm(attention + "LayerNorm", p.norm1(), d);
            linear(forward + "dense_1", p.up(), inner, d);
            linear(forward + "dense_2", p.down(), d, inner);
            norm(forward + "LayerNorm", p.norm2(), d);
          }
        });
  }

  private interface Filling {
    void fill(Parameters parameters);
  }

  private Model fill(ModelConfig config, Filling filling) {
    Parameters parameters = new Parameters(kernels, config);
    try {
      filling.fill(parameters);
      return new Model(config, parameters);
    } catch (RuntimeException | Error e) {
      parameters.close();
      throw e;
    }
  }

  private void norm(String name, Parameters.Norm norm, long d) {
    copy(name + ".weight", norm.weight(), d);
    copy(name + ".bias", norm.bias(), d);
  }

  private void linear(String name, Parameters.Linear layer, long... shape) {
    copy(name + ".weight", layer.weight(), shape);
    copy(name + ".bias", layer.bias(), shape[0]);
  }

  private void copy(String name, Buffer target, long... shape) {
    used.add(name);
    tensors.copyAsFloats(name, target, shape);
  }

  /** D, by an item embedding whose rows must be those of V items and padding. */
  private int itemWidth(String name, int items) {
    int rows = length(name, 0, 2);
    if (rows != items + 1L) {
      throw new FormatException(
          file,
          "tensor " + name,
          "has "
              + rows
              + " rows, for "
              + (rows - 1)
              + " items and padding, but the dataset has "
              + items
              + " items",
          "name the dataset that the model was trained on, prepared with the same items");
    }
    return length(name, 1, 2);
  }

  /** A dimension of a tensor that has so many. */
  private int length(String name, int dimension, int dimensions) {
    long[] shape = tensors.shape(name);
    if (shape.length != dimensions || shape[dimension] < 1 || shape[dimension] > 1 << 30) {
      throw new FormatException(
          file, "tensor " + name, "has the shape " + Arrays.toString(shape), MANY);
    }
    return (int) shape[dimension];
  }

  private int atLeastOne(int positions) {
    if (positions < 1) {
      throw new FormatException(file, "tensor pos_emb.weight", "has a row for padding alone", MANY);
    }
    return positions;
  }

  /** How many blocks there are: one more than the largest number behind a prefix. */
  private int layers(String prefix) {
    int layers = 0;
    for (String name : tensors.names()) {
      if (name.startsWith(prefix)) {
        String number = name.substring(prefix.length()).split("\\.", 2)[0];
        if (number.matches("[0-9]{1,2}")) {
          layers = Math.max(layers, Integer.parseInt(number) + 1);
        }
      }
    }
    if (layers == 0) {
      throw new FormatException(
          file,
          "header",
          "no tensor is called "
              + prefix
              + "0...., so this is no SASRec of "
              + options.source.label(),
          "name the project that it is from; there are pmixer, pmixer-2024, pmixer-2020 and recbole");
    }
    return layers;
  }

  private void refuseUnused() {
    for (String name : tensors.names()) {
      if (!used.contains(name)) {
        throw new FormatException(
            file,
            "tensor " + name,
            "is no part of a SASRec of " + options.source.label(),
            "take it out of the state dict if the model's output does not depend on it");
      }
    }
  }

  private void reorder(Buffer table, int[] rows, long d) {
    try (Buffer before = kernels.allocate(DType.F32, table.count());
        Buffer order = kernels.allocate(DType.I32, rows.length)) {
      before.copyFrom(table);
      order.put(0, rows, 0, rows.length);
      kernels.layers().gather(rows.length, d, order, rows.length, before, 1, 0, table);
    }
  }

  private static boolean zero(Buffer row) {
    for (float value : row.floats()) {
      if (value != 0) {
        return false;
      }
    }
    return true;
  }

  /** Refuses what torch.save writes: a zip archive, or before version 1.6 a bare pickle. */
  private static void refusePickle(Path file) {
    byte[] start;
    try (InputStream in = Files.newInputStream(file)) {
      start = in.readNBytes(9);
    } catch (IOException e) {
      throw new UncheckedIOException("cannot read " + file, e);
    }
    // The first bytes may be the length of a safetensors header too; that starts at byte 8.
    boolean header = start.length == 9 && start[8] == '{';
    boolean zip = start.length > 1 && start[0] == 'P' && start[1] == 'K';
    boolean pickle = start.length > 1 && start[0] == (byte) 0x80;
    if (!header && (zip || pickle)) {
      throw new FormatException(
          file,
          "byte 0",
          "is a pickle, which can run code when it is opened and is never read here",
          "convert it where you trust it: python -c \"import torch, safetensors.torch as s;"
              + " d = torch.load('model.pth', map_location='cpu'); d = d.get('state_dict', d);"
              + " s.save_file({k: v.contiguous() for k, v in d.items()}, 'model.safetensors')\"");
    }
  }
}

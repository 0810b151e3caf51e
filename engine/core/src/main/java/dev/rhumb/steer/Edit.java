package dev.rhumb.steer;

import dev.rhumb.kernels.EditTable;

/**
 * A change of one feature's activation.
 *
 * @param feature from 0
 * @param op what is done to the activation
 * @param x the operand; the lower bound of {@link EditTable.Op#CLAMP}; 0 for {@link
 *     EditTable.Op#ABLATE}
 * @param y the upper bound of {@link EditTable.Op#CLAMP}; 0 for the others
 */
public record Edit(int feature, EditTable.Op op, float x, float y) {
  /** Refuses a negative feature, an operand that is not finite, and crossed bounds. */
  public Edit {
    new EditTable(1).put(feature, op, x, y);
  }

  /** Adds {@code amount} to the activation. */
  public static Edit add(int feature, float amount) {
    return new Edit(feature, EditTable.Op.ADD, amount, 0);
  }

  /** Sets the activation to {@code value}. */
  public static Edit set(int feature, float value) {
    return new Edit(feature, EditTable.Op.SET, value, 0);
  }

  /** Multiplies the activation by {@code factor}. */
  public static Edit scale(int feature, float factor) {
    return new Edit(feature, EditTable.Op.SCALE, factor, 0);
  }

  /** Holds the activation within {@code least} and {@code most}. */
  public static Edit clamp(int feature, float least, float most) {
    return new Edit(feature, EditTable.Op.CLAMP, least, most);
  }

  /** Sets the activation to 0. */
  public static Edit ablate(int feature) {
    return new Edit(feature, EditTable.Op.ABLATE, 0, 0);
  }
}

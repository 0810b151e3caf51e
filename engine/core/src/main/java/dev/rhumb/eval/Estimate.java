package dev.rhumb.eval;

/**
 * A mean over users and how sure it is.
 *
 * @param value the mean; NaN where it is defined for no user
 * @param low the lower end of its interval; NaN where there is none, as with a single user
 * @param high the upper end, likewise
 * @param users how many users it is of
 */
public record Estimate(double value, double low, double high, int users) {}

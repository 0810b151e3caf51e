/**
 * Interaction logs as sequences: building and keeping them, item attributes, splits for training
 * and evaluation, and a generated catalogue whose truth is known.
 *
 * <p>Items are 1..V, 0 is padding. Users are 0..users-1. Positions count from a user's first item.
 */
package dev.rhumb.data;

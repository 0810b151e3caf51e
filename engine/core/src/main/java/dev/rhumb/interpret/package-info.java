/**
 * What features mean: statistics of {@link dev.rhumb.interpret.Columns columns} of values against
 * attributes of items, and the labels that follow from them. Whatever is chosen is chosen on one
 * half of the users and scored on the other.
 */
package dev.rhumb.interpret;

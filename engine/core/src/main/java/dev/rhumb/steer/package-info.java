/** Edits of features by number or by the name of a concept, and what they do to recommendations. */
package dev.rhumb.steer;

/** The commands of {@code rhumb}. */
package dev.rhumb.app;

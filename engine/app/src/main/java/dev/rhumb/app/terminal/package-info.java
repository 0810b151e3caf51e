/** What the user sees on a terminal: text, tables, progress, and why work cannot go on. */
package dev.rhumb.app.terminal;

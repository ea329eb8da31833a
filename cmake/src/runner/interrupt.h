// Ctrl-C and kill: the image in work is finished, then it ends.
#pragma once

namespace edge_seg {

// From now on SIGINT and SIGTERM are noted. A second one, a second or more later, ends the process at once.
void watch_interrupts();

// Whether one was noted.
bool interrupted();

// Throws Error (interrupted) when one was noted.
void check_interrupted();

// Waits until `file` can be read. Throws Error (interrupted) when a signal comes first, or came before.
void wait_for_input(int file);

// The same for at most `limit_ms`; false when it can't be read by then.
bool input_within(int file, int limit_ms);

// From now on nobody waits for input: who does gets the same error.
void end_waiting();

}  // namespace edge_seg

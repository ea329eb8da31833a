// Ctrl-C and kill: the picture in work is finished, then it ends.
#pragma once

namespace edge_seg {

// From now on SIGINT and SIGTERM are noted. A second one, a second or more later, ends the process at once.
void watch_interrupts();

// Throws Error (interrupted) when one was noted.
void check_interrupted();

}  // namespace edge_seg

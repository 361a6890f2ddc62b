// What OpenMP leaves to its users: threads that cannot be had, and those that a fork leaves behind.
#pragma once

namespace ifrnet {

// The number of this process, by which a forked one is told from its parent.
int process_number();

// Before this thread computes with others, `count` in all. Throws Error (IFRNET_BACKEND) where the system has not so
// many, for GNU's OpenMP would end the process, and where the others stayed in the process that this one was forked
// from, for it would wait for them for ever.
void prepare_threads(int count);

}  // namespace ifrnet

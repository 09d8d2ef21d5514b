package run

// HeapFloor is what the heap of a process of peerbus is taken to have at least, in bytes:
// the garbage collector runs when it has doubled. One of a few megabytes that passes on
// hundreds of thousands of messages a second would run it a hundred times a second
// otherwise, for a third of its time. The program makes so many bytes, and nobody writes
// to them, so that they take no memory.
const HeapFloor = 16 << 20

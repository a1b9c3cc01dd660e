package filetree

const crashChild = "TESTUDO_FILETREE_CRASH_HOME"

func applyForEver(string) int { return 0 }

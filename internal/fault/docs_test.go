package fault

import (
	"os"
	"regexp"
	"strconv"
	"testing"
)

// TestDocs_NameEveryNumber demands that docs/errors.md tells of every number
// there is, alone or within a range such as "1107 to 1110".
func TestDocs_NameEveryNumber(t *testing.T) {
	text, err := os.ReadFile("../../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	named := map[Code]bool{}
	for _, found := range regexp.MustCompile(`\b(\d{3,4})(?: to (\d{4}))?\b`).FindAllStringSubmatch(string(text), -1) {
		from, _ := strconv.Atoi(found[1])
		to, err := strconv.Atoi(found[2])
		if err != nil {
			to = from
		}
		for code := from; code <= to && to-from < 100; code++ {
			named[Code(code)] = true
		}
	}
	for _, table := range []map[Code]definition{codes, apiCodes} {
		for code := range table {
			if !named[code] {
				t.Errorf("docs/errors.md does not name %d, %s", code, code.Text())
			}
		}
	}
}

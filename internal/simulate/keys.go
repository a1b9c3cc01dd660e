package simulate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"testudo/internal/agent"
	"testudo/internal/atomicfile"
	"testudo/internal/keystore"
)

const (
	keysPath   = "etc/client.keys"
	sharedPath = "etc/shared"
	authSocket = "queue/sockets/auth"
)

// ErrEnrolment is returned when another enrolment daemon than that of a Testudo
// node runs on the master: it has client.keys in memory and would write it again
// without our lines.
var ErrEnrolment = errors.New("an enrolment daemon is running and owns client.keys; stop it for the time of the simulation")

// lockKeys keeps others of ours from changing client.keys of a home: a node at
// which agents enrol reads it anew afterwards. Beside another enrolment daemon it
// refuses to work.
func lockKeys(ctx context.Context, home string, root *os.Root) (*keystore.Guard, error) {
	if err := root.MkdirAll("var/run", 0o770); err != nil {
		return nil, fmt.Errorf("lock client.keys: %w", err)
	}
	guard, err := keystore.Lock(ctx, root)
	if err != nil {
		return nil, err
	}
	if guard.Open {
		return guard, nil
	}
	conn, err := net.Dial("unix", filepath.Join(home, authSocket))
	if err != nil {
		return guard, nil //nolint:nilerr // nobody answers: that is what we want
	}
	conn.Close()
	guard.Release()
	return nil, fmt.Errorf("%s: %w", home, ErrEnrolment)
}

// openKeys reads client.keys of a home; one that is not there is empty.
func openKeys(root *os.Root) (*keyFile, error) {
	file, err := root.Open(keysPath)
	if errors.Is(err, fs.ErrNotExist) {
		return readKeys(bytes.NewReader(nil))
	}
	if err != nil {
		return nil, fmt.Errorf("read client.keys: %w", err)
	}
	defer file.Close()
	return readKeys(file)
}

// writeKeys writes client.keys: the lines of others as they were, then ours.
// Where nothing is left the file keeps the line of one agent of ours, as removed:
// a master takes an empty client.keys for an accident and does not pass it on.
func writeKeys(root *os.Root, guard *keystore.Guard, k *keyFile) error {
	if err := guard.Given(k.highest); err != nil {
		return err
	}
	var b bytes.Buffer
	b.Write(k.others)
	if len(k.others) > 0 && !bytes.HasSuffix(k.others, []byte("\n")) {
		b.WriteByte('\n')
	}
	for _, id := range slices.Sorted(maps.Keys(k.ours)) {
		fmt.Fprintf(&b, "%s %s any %s\n", id, Name(id), k.ours[id].Reveal())
	}
	if b.Len() == 0 {
		fmt.Fprintf(&b, "%s !%s any %s\n", k.highest, Name(k.highest), newKey().Reveal())
	}
	options := atomicfile.Options{UID: atomicfile.Keep, GID: atomicfile.Keep, Sync: true}
	if _, err := root.Lstat(keysPath); errors.Is(err, fs.ErrNotExist) {
		options.Mode = 0o640
	}
	if err := atomicfile.Write(root, keysPath, b.Bytes(), options); err != nil {
		return fmt.Errorf("write client.keys: %w", err)
	}
	return nil
}

// maxID is the highest id that an agent may have: eight digits.
const maxID agent.ID = 99_999_999

// extend gives keys to as many new agents as are missing from count, above all
// ids there are, and says whether that changed anything.
func (k *keyFile) extend(count int, above agent.ID) (changed bool, err error) {
	next := max(k.highest, above)
	for len(k.ours) < count {
		if next++; next > maxID {
			return false, fmt.Errorf("no ids are left for more agents: the highest is %s", maxID)
		}
		k.ours[next] = newKey()
		k.highest, changed = next, true
	}
	return changed, nil
}

// agentConf is the configuration of a simulated group.
func agentConf(group string) []byte {
	return fmt.Appendf(nil, "%s\n<agent_config>\n  <labels>\n    <label key=\"simulated.group\">%s</label>\n  </labels>\n</agent_config>\n", groupMark, group)
}

// makeGroup makes the directory of a group, owned as etc/shared is. It appears
// whole: a node that watches must be able to look into it at once.
func makeGroup(root *os.Root, group string) (err error) {
	dir, fresh := filepath.Join(sharedPath, group), filepath.Join(filepath.Dir(sharedPath), "."+group)
	if _, err := root.Lstat(dir); err == nil {
		return nil
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("make group %s: %w", group, err), root.RemoveAll(fresh))
		}
	}()
	if err := root.RemoveAll(fresh); err != nil { // of a run that was cut off
		return err
	}
	if err := root.Mkdir(fresh, 0o770); err != nil {
		return err
	}
	uid, gid := ownerOf(root, sharedPath)
	if uid >= 0 {
		if err := root.Chown(fresh, uid, gid); err != nil {
			return err
		}
	}
	err = atomicfile.Write(root, filepath.Join(fresh, "agent.conf"), agentConf(group), atomicfile.Options{Mode: 0o660, UID: uid, GID: gid})
	if err != nil {
		return err
	}
	return root.Rename(fresh, dir)
}

// groupsOf are the directories in a home that are called like simulated groups.
func groupsOf(root *os.Root) ([]string, error) {
	dir, err := root.Open(sharedPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for groups: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("look for groups: %w", err)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !groupName.MatchString(name) })
	slices.Sort(names)
	return names, nil
}

// ownGroup says whether a group's directory has our mark.
func ownGroup(root *os.Root, group string) bool {
	conf, err := root.ReadFile(filepath.Join(sharedPath, group, "agent.conf"))
	return err == nil && bytes.HasPrefix(conf, []byte(groupMark))
}

// removeTries is how often a directory is emptied that fills again.
const removeTries = 10

// removeGroup removes the directory of a group with what we and the nodes made
// in it. One that holds anything else stays without our agent.conf.
func removeGroup(root *os.Root, group string) (removed bool, err error) {
	dir := filepath.Join(sharedPath, group)
	for range removeTries { // a node may just be making merged.mg
		for _, name := range []string{"merged.mg", "agent.conf"} {
			if err := root.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return false, fmt.Errorf("remove group %s: %w", group, err)
			}
		}
		err := root.Remove(dir)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return true, nil
		}
		if !errors.Is(err, syscall.ENOTEMPTY) {
			return false, fmt.Errorf("remove group %s: %w", group, err)
		}
	}
	return false, nil
}

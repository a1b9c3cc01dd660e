package agentapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/rbac"
	"testudo/internal/result"
	"testudo/internal/sqlitedb"
)

// taskDB answers as a database service of the original does.
type taskDB struct{ *sqlitedb.DB }

func (d taskDB) SQL(ctx context.Context, statement string) ([]byte, error) {
	list := []result.Object{}
	err := d.Read(ctx, func(c *sqlitedb.Conn) error {
		return sqlitedb.SelectOnce(c, statement, func(s *sqlitedb.Stmt) error {
			var row result.Object
			for i := range s.ColumnCount() {
				var err error
				switch s.ColumnType(i) {
				case sqlitedb.TypeNull:
				case sqlitedb.TypeInteger:
					err = row.Set(s.ColumnName(i), s.ColumnInt64(i))
				default:
					err = row.Set(s.ColumnName(i), s.ColumnText(i))
				}
				if err != nil {
					return err
				}
			}
			list = append(list, row)
			return nil
		})
	})
	text, wrong := json.Marshal(list)
	return text, errors.Join(err, wrong)
}

// listed is the items of a result and how many there are.
func listed(r result.Result) string {
	a := r.(*result.Affected)
	var items []string
	for _, item := range a.Items {
		items = append(items, string(item))
	}
	return fmt.Sprintf("%s of %d", strings.Join(items, " "), a.Total)
}

// The five tasks with which the original was asked.
const fiveTasks = `CREATE TABLE TASKS (TASK_ID INTEGER PRIMARY KEY AUTOINCREMENT, AGENT_ID INT NOT NULL, NODE TEXT NOT NULL, MODULE TEXT NOT NULL,
	COMMAND TEXT NOT NULL, CREATE_TIME INTEGER NOT NULL, LAST_UPDATE_TIME INTEGER, STATUS TEXT NOT NULL, ERROR_MESSAGE TEXT DEFAULT NULL);
	INSERT INTO TASKS VALUES (1, 2, 'w2', 'upgrade_module', 'upgrade', 1700086400, 1700000501, 'Updated', NULL),
	(2, 4, 'w1', 'upgrade_module', 'upgrade', 1700172800, 1700000502, 'Failed', 'Send open file error'),
	(3, 6, 'w2', 'upgrade_module', 'upgrade_custom', 1700259200, 1700000503, 'Updated', NULL),
	(4, 8, 'w1', 'upgrade_module', 'upgrade', 1700345600, NULL, 'Updated', NULL),
	(5, 10, 'w2', 'upgrade_module', 'upgrade', 1700432000, 1700000505, 'Updated', NULL)`

// The answers are the original's to the same requests.
func TestTasks(t *testing.T) {
	db, err := sqlitedb.Open(t.Context(), sqlitedb.Options{Path: filepath.Join(t.TempDir(), "tasks.db"), AppID: 1, Migrations: []string{fiveTasks}})
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	a := New(Config{Tasks: taskDB{db}, Now: func() time.Time { return time.Unix(1700345700, 0) }})
	for args, want := range map[string]string{
		`{"limit": 2}`: `{"task_id":1,"agent_id":"002","node":"w2","module":"upgrade_module","command":"upgrade","create_time":"2023-11-15T22:13:20Z",` +
			`"last_update_time":"2023-11-14T22:21:41Z","status":"Updated"} {"task_id":2,"agent_id":"004","node":"w1","module":"upgrade_module","command":"upgrade",` +
			`"create_time":"2023-11-16T22:13:20Z","last_update_time":"2023-11-14T22:21:42Z","status":"Failed","error_message":"Send open file error"} of 5`,
		`{"offset": 3, "limit": 1, "select": ["last_update_time"]}`:                               `{"task_id":4} of 5`,
		`{"filters": {"agent_list": ["010", "004"]}, "select": ["agent_id"]}`:                     `{"task_id":2,"agent_id":"004"} {"task_id":5,"agent_id":"010"} of 2`,
		`{"filters": {"agent_list": ["999"], "task_list": ["1"]}}`:                                ` of 0`,
		`{"filters": {"task_list": ["3", "2"], "node": null}, "select": ["task_id"]}`:             `{"task_id":2} {"task_id":3} of 2`,
		`{"filters": {"status": "updated"}, "select": ["task_id"]}`:                               `{"task_id":1} {"task_id":3} {"task_id":4} {"task_id":5} of 4`,
		`{"q": "agent_id>004;agent_id<009", "select": ["task_id"]}`:                               `{"task_id":3} {"task_id":4} of 2`,
		`{"q": "create_time>2023-11-17", "select": ["task_id"]}`:                                  `{"task_id":3} {"task_id":4} {"task_id":5} of 3`,
		`{"sort": {"fields": ["status", "create_time"], "order": "desc"}, "select": ["task_id"]}`: `{"task_id":5} {"task_id":4} {"task_id":3} {"task_id":1} {"task_id":2} of 5`,
		`{"search": {"value": "send OPEN", "negation": false}, "select": ["error_message"]}`:      `{"task_id":2,"error_message":"Send open file error"} of 1`,
		`{"search": {"value": "upgrade_custom", "negation": true}, "select": ["task_id"]}`:        `{"task_id":1} {"task_id":2} {"task_id":4} {"task_id":5} of 4`,
		`{"q": "wrong=1"}`:     `1408 Available fields: task_id, agent_id, node, module, command, create_time, last_update_time, status, error_message. Field: wrong`,
		`{"select": ["nope"]}`: `1724 Allowed select fields: task_id, agent_id, node, module, command, create_time, last_update_time, status, error_message. Fields nope`,
		`{"sort": {"fields": ["nope"], "order": "asc"}}`: `1403 Allowed sort fields: ['agent_id', 'command', 'create_time', 'error_message', ` +
			`'last_update_time', 'module', 'node', 'status', 'task_id']. Fields: nope`,
	} {
		r, err := run(t, a, "get_task_status", args)
		var got string
		if f, failed := errors.AsType[*fault.Error](err); failed {
			got = fmt.Sprint(int(f.Code), " ", f.Extra)
		} else {
			must(t, err)
			got = listed(r)
		}
		if got != want {
			t.Errorf("%s\ngives %s\nwant  %s", args, got, want)
		}
	}
}

func TestTasks_Refused(t *testing.T) {
	if _, err := run(t, New(Config{}), "get_task_status", `{}`); !errors.Is(err, errNoTasks) {
		t.Errorf("without tasks: %v", err)
	}
	p, err := rbac.Parse([]byte(`{"rbac_mode": "black", "task:status": {"*:*:*": "deny"}}`))
	must(t, err)
	_, err = New(Config{}).tasks(t.Context(), &dapi.Call{Permissions: p}, tasksArgs{})
	if f := fault.From(err); f.Code != fault.PermissionDenied || f.Extra != "Resource type: *:*" || fmt.Sprint(f.IDs) != "[*]" {
		t.Errorf("who may not: %v of %v", err, f.IDs)
	}
}

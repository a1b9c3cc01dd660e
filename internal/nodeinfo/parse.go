package nodeinfo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// ParseNodes reads an answer to get_nodes.
func ParseNodes(answer []byte) (nodes []Node, total int, err error) {
	var doc struct {
		Items []Node `json:"items"`
		Total int    `json:"totalItems"`
	}
	if err := json.Unmarshal(answer, &doc); err != nil {
		return nil, 0, fmt.Errorf("read answer to get_nodes: %w", err)
	}
	return doc.Items, doc.Total, nil
}

// ParseHealth reads an answer to get_health. The nodes stay in their order.
func ParseHealth(answer []byte) (Health, error) {
	var doc struct {
		Workers int         `json:"n_connected_nodes"`
		Nodes   orderedList `json:"nodes"`
	}
	if err := json.Unmarshal(answer, &doc); err != nil {
		return Health{}, fmt.Errorf("read answer to get_health: %w", err)
	}
	return Health{Workers: doc.Workers, Nodes: doc.Nodes}, nil
}

// orderedList is an object of nodes by name, in its order.
type orderedList []NodeHealth

func (l *orderedList) UnmarshalJSON(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return fmt.Errorf("nodes: no object")
	}
	for dec.More() {
		if _, err := dec.Token(); err != nil { // the name stands in info, too
			return err
		}
		var n wireHealth
		if err := dec.Decode(&n); err != nil {
			return err
		}
		*l = append(*l, n.health())
	}
	return nil
}

// wireHealth is a node's health as it travels.
type wireHealth struct {
	Info struct {
		Node
		ActiveAgents int `json:"n_active_agents"`
	} `json:"info"`
	Status *struct {
		IntegrityFree bool       `json:"sync_integrity_free"`
		Check         masterSpan `json:"last_check_integrity"`
		Sync          struct {
			masterSpan
			Files struct {
				Missing    int  `json:"missing"`
				Extra      int  `json:"extra"`
				Shared     int  `json:"shared"`
				ExtraValid *int `json:"extra_valid"`
			} `json:"total_files"`
		} `json:"last_sync_integrity"`
		AgentInfoFree bool `json:"sync_agent_info_free"`
		AgentInfo     struct {
			masterSpan
			Chunks int `json:"n_synced_chunks"`
		} `json:"last_sync_agentinfo"`
		Groups        groupSpan `json:"last_sync_agentgroup"`
		FullGroups    groupSpan `json:"last_sync_full_agentgroup"`
		LastKeepAlive date      `json:"last_keep_alive"`
	} `json:"status"`
}

type masterSpan struct {
	Started date `json:"date_start_master"`
	Ended   date `json:"date_end_master"`
}

func (s masterSpan) span() Span { return Span{time.Time(s.Started), time.Time(s.Ended)} }

type groupSpan struct {
	Started date `json:"date_start"`
	Ended   date `json:"date_end"`
	Chunks  int  `json:"n_synced_chunks"`
}

func (s groupSpan) transfer() Transfer {
	return Transfer{Span{time.Time(s.Started), time.Time(s.Ended)}, s.Chunks}
}

// date is a time as it travels, zero for what has not happened.
type date time.Time

func (d *date) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return fmt.Errorf("date: %w", err)
	}
	if text == notYet {
		return nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return fmt.Errorf("date: %w", err)
	}
	*d = date(t)
	return nil
}

func (w *wireHealth) health() NodeHealth {
	n := NodeHealth{Node: w.Info.Node, ActiveAgents: w.Info.ActiveAgents}
	if s := w.Status; s != nil {
		files := s.Sync.Files
		n.Status = &Status{
			IntegrityFree: s.IntegrityFree, Check: s.Check.span(), Sync: s.Sync.span(),
			Files:         Files{files.ExtraValid == nil, files.Missing, files.Extra, files.Shared},
			AgentInfoFree: s.AgentInfoFree, AgentInfo: Transfer{s.AgentInfo.span(), s.AgentInfo.Chunks},
			Groups: s.Groups.transfer(), FullGroups: s.FullGroups.transfer(), LastKeepAlive: time.Time(s.LastKeepAlive),
		}
	}
	return n
}

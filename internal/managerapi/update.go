package managerapi

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"io/fs"
	"strings"

	"testudo/internal/atomicfile"
	"testudo/internal/config"
	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/ossecxml"
	"testudo/internal/result"
)

type updateArgs struct {
	Conf string `json:"new_conf"`
}

// updateConf replaces the configuration, unless it is found wanting.
func (a *API) updateConf(ctx context.Context, c *dapi.Call, args updateArgs) (result.Result, error) {
	r := a.specified("Configuration was successfully updated", "Could not update configuration", "Could not update configuration")
	return a.about(c, "update_config", r, func() error {
		select {
		case a.writing <- struct{}{}:
			defer func() { <-a.writing }()
		case <-ctx.Done():
			return stopped(ctx)
		}
		if err := a.replaceConf(ctx, []byte(args.Conf)); err != nil {
			return a.failHere(c, r, err)
		}
		return r.Add(a.name(c))
	})
}

// replaceConf has a configuration validated and puts it in force; one that is not
// valid, or of which nobody can tell, gives way to the one before. Errors of the user:
// fault.InvalidConfig, InvalidXML, those of mayUpload, BackupFailed, ConfigWrite,
// ValidationFound.
func (a *API) replaceConf(ctx context.Context, text []byte) error {
	if len(text) == 0 || len(text) > mostConf {
		return fault.New(fault.InvalidConfig, nil)
	}
	if err := wellFormed(text); err != nil {
		return fault.Wrap(fault.InvalidXML, nil, err)
	}
	roots, err := ossecxml.Parse(bytes.NewReader(text), ossecxml.Limits{Bytes: mostConf})
	if err != nil {
		return fault.Wrap(fault.InvalidXML, err.Error(), err)
	}
	if _, err := EndTrial(a.cfg.Dir); err != nil { // of one that could not be put back
		return fault.Wrap(fault.BackupFailed, nil, err)
	}
	before, err := readFile(a.path(config.ConfPath), mostConf)
	if err != nil {
		return fault.Wrap(fault.BackupFailed, nil, err)
	}
	if err := a.mayUpload(before, roots); err != nil {
		return err
	}
	// What keeps this node from starting is refused before it is written.
	if err := checkOwn(text); err != nil {
		return err
	}
	switch {
	case !a.executor():
		return a.writeConf(text)
	case !present(a.path(comSocket)):
		return fault.New(fault.ExecQueueMissing, nil)
	}
	return a.try(ctx, text, before)
}

func (a *API) writeConf(text []byte) error {
	if err := atomicfile.Write(a.cfg.Home, config.ConfPath, text, a.owned(0)); err != nil {
		return fault.Wrap(fault.ConfigWrite, nil, err)
	}
	return nil
}

// owned says how files of the configuration are written.
func (a *API) owned(mode fs.FileMode) atomicfile.Options {
	return atomicfile.Options{Mode: mode, UID: a.cfg.UID, GID: a.cfg.GID, Sync: true}
}

// wellFormed tells whether a text is XML to any reader, but for the one root. Our
// own reader takes more than other daemons may.
func wellFormed(text []byte) error {
	dec := xml.NewDecoder(io.MultiReader(strings.NewReader("<root_tag>"), bytes.NewReader(text), strings.NewReader("</root_tag>")))
	for {
		switch _, err := dec.Token(); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

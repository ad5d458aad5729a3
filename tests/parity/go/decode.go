package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/kalbhor/tasqueue/v2"
	"github.com/vmihailenco/msgpack/v5"
)

// decode reads {"kind": "job"|"group"|"chain", "hex": …} and says whether Go's decoder accepts the
// bytes, what it makes of them (JSON) and how it writes that again (hex, map keys sorted).
func decode(line []byte) answer {
	var asked struct{ Kind, Hex string }
	if err := json.Unmarshal(line, &asked); err != nil {
		return refused(err)
	}
	raw, err := hex.DecodeString(asked.Hex)
	if err != nil {
		return refused(err)
	}
	var message any
	switch asked.Kind {
	case "job":
		message = &tasqueue.JobMessage{}
	case "group":
		message = &tasqueue.GroupMessage{}
	case "chain":
		message = &tasqueue.ChainMessage{}
	default:
		return refused(fmt.Errorf("unknown kind of message %q", asked.Kind))
	}
	if err := msgpack.Unmarshal(raw, message); err != nil {
		return refused(err)
	}
	var again bytes.Buffer
	encoder := msgpack.NewEncoder(&again)
	encoder.SetSortMapKeys(true)
	if err := encoder.Encode(message); err != nil {
		return refused(err)
	}
	reply := answer{"ok": true, "hex": hex.EncodeToString(again.Bytes())}
	if value, err := json.Marshal(message); err == nil { // years past 9999 have no JSON form
		reply["value"] = json.RawMessage(value)
	}
	return reply
}

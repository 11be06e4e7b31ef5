package portkey

import (
	"encoding/json"
	"errors"
	"strings"
)

// Config is a gateway config, which says what the gateway does with a call:
// retries, caching, fallbacks, load balancing. It is a [ConfigSlug] or a
// [ConfigJSON]. Header x-portkey-config. What a config can say is documented at
// https://portkey.ai/docs/api-reference/inference-api/config-object.
type Config interface {
	text() (text, fault string)
	clone() Config // shares nothing with the caller
}

// ConfigSlug names a config that is saved at Portkey: "cf-..." or "pc-...".
// A self-hosted open-source gateway knows none: give it a [ConfigJSON].
type ConfigSlug string

// ConfigJSON is a config object as JSON text. It may hold providers' keys:
// printed or logged it is redacted, and only its JSON encoding is the text itself.
type ConfigJSON string

func (c ConfigSlug) clone() Config { return c }
func (c ConfigJSON) clone() Config { return c }

func (c ConfigSlug) text() (text, fault string) {
	if isJSON(string(c)) {
		return "", "is a slug that looks like JSON: use ConfigJSON"
	}
	return string(c), ""
}

func (c ConfigJSON) text() (text, fault string) {
	if !isJSON(string(c)) {
		return "", "is not a JSON object"
	}
	return string(c), ""
}

// MarshalJSON returns c itself, compacted.
func (c ConfigJSON) MarshalJSON() ([]byte, error) {
	if !json.Valid([]byte(c)) {
		return nil, errors.New("portkey: ConfigJSON is not JSON")
	}
	return []byte(c), nil
}

// isJSON tells a config object from a slug.
func isJSON(text string) bool {
	return strings.HasPrefix(strings.TrimLeft(text, " \t\r\n"), "{")
}

// configWire returns the form in which x-portkey-config carries text: a slug as
// it is, an object compact and in ASCII. holds says that the object itself names
// whose credential is used: then the client's own must not be sent along.
func configWire(text string) (wire string, holds bool, fault string) {
	if !isJSON(text) {
		return text, false, ""
	}
	wire, fault = jsonWire(text)
	var object struct {
		Provider, Targets json.RawMessage
		VirtualKey        json.RawMessage `json:"virtual_key"`
	}
	if fault == "" && json.Unmarshal([]byte(wire), &object) != nil {
		fault = "is not a JSON object"
	}
	return wire, object.Provider != nil || object.Targets != nil || object.VirtualKey != nil, fault
}

package portkeytest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/internal/configcheck"
)

// A target is a gateway config or one of its targets, which have the same form. It has the members that the gateway
// follows without regard to the provider.
type target struct {
	Strategy *strategy
	Targets  []target
	Retry    *retryPolicy

	Name           string
	Weight         *float64
	Provider       string
	VirtualKey     string  `json:"virtual_key"`
	APIKey         string  `json:"api_key"`
	CustomHost     string  `json:"custom_host"`
	RequestTimeout float64 `json:"request_timeout"` // in milliseconds; 0 means none

	OverrideParams params   `json:"override_params"`
	DefaultParams  params   `json:"default_params"`
	DropParams     []string `json:"drop_params"`

	StrictOpenAICompliance *bool `json:"strict_open_ai_compliance"`
}

type strategy struct {
	Mode          string
	OnStatusCodes []int `json:"on_status_codes"`
	Conditions    []condition
	Default       string
}

type retryPolicy struct {
	Attempts      int
	OnStatusCodes []int `json:"on_status_codes"`
}

// inherit returns t with the members that it inherits from its parent.
func (t target) inherit(parent target) target {
	if t.Retry == nil {
		t.Retry = parent.Retry
	}
	if t.RequestTimeout == 0 {
		t.RequestTimeout = parent.RequestTimeout
	}
	if t.StrictOpenAICompliance == nil {
		t.StrictOpenAICompliance = parent.StrictOpenAICompliance
	}
	t.OverrideParams = merge(parent.OverrideParams, t.OverrideParams)
	t.DefaultParams = merge(parent.DefaultParams, t.DefaultParams)
	t.DropParams = slices.Concat(parent.DropParams, t.DropParams)
	return t
}

// parseConfig decodes a config object. provider is the x-portkey-provider header.
func (x *exchange) parseConfig(config, provider string) error {
	var value any
	err := json.Unmarshal([]byte(config), &value)
	if err != nil || value == nil && provider == "" {
		return badRequest("Invalid config passed. You need to pass a valid json")
	}
	members, isObject := value.(map[string]any)
	if provider == "" && !configcheck.NamesProvider(members) && !x.namesSavedProvider() {
		return badRequest("Either x-portkey-provider needs to be passed. " +
			"Or the x-portkey-config header should have a valid config with provider details in it.")
	}
	if !isObject && value != nil {
		return badRequest("Invalid config passed", "path: , message: Expected object")
	}
	json.Unmarshal([]byte(config), &x.config) // configcheck reports values of the wrong type

	// The gateway rejects "options", which belong to the old config format, only after all other problems.
	hasOptions := isTruthy(members["options"])
	delete(members, "options")
	hideConditions(members)
	problems := append(configProblems(members), targetProblems("", x.config)...)
	switch {
	case len(problems) > 0:
		return badRequest("Invalid config passed", problems...)
	case hasOptions:
		return badRequest("This version of config is not supported in this route. Please migrate to the latest version")
	}
	return nil
}

// hideConditions removes from a config what configcheck knows to fail, but the gateway does not check in advance: the
// queries of conditions, and the names of targets in a conditional strategy.
func hideConditions(config map[string]any) {
	if strategy, _ := config["strategy"].(map[string]any); strategy["mode"] == portkey.ModeConditional {
		strategy["mode"] = portkey.ModeSingle
		conditions, _ := strategy["conditions"].([]any)
		for _, c := range conditions {
			condition, _ := c.(map[string]any)
			if _, isObject := condition["query"].(map[string]any); isObject {
				condition["query"] = map[string]any{}
			}
		}
	}
	targets, _ := config["targets"].([]any)
	for _, t := range targets {
		target, _ := t.(map[string]any)
		hideConditions(target)
	}
}

// configProblems returns the faults of a config in the gateway's format.
func configProblems(config map[string]any) (problems []string) {
	for _, f := range configcheck.Check(config) {
		problems = append(problems, formatProblem(f.Path, f.Reason))
	}
	return problems
}

// targetProblems returns the problems of the target at path, and of its targets, that configcheck does not report:
// unknown providers and forbidden hosts.
func targetProblems(path string, t target) (problems []string) {
	if t.Provider != "" && !isKnownProvider(t.Provider) {
		problems = append(problems, formatProblem(path+".provider",
			"Invalid 'provider' value. Must be one of: "+strings.Join(knownProviders, ", ")))
	}
	if t.CustomHost != "" && !isAllowedHost(t.CustomHost) {
		problems = append(problems, formatProblem(path, "Invalid custom host"))
	}
	for i := range t.Targets {
		problems = append(problems, targetProblems(fmt.Sprintf("%s.targets[%d]", path, i), t.Targets[i])...)
	}
	return problems
}

// formatProblem returns a problem in the gateway's format, in which the path targets[0].provider is targets,0,provider.
func formatProblem(path, message string) string {
	path = strings.NewReplacer(".", ",", "[", ",", "]", "").Replace(strings.TrimPrefix(path, "."))
	return "path: " + path + ", message: " + message
}

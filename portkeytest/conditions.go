package portkeytest

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/portkey-go/portkey"
)

// choose returns the target of a conditional strategy.
func (c *call) choose(t portkey.ConfigObject) (int, error) {
	var metadata map[string]any
	json.Unmarshal([]byte(latin1(value(c.in.Header, "X-Portkey-Metadata"))), &metadata)
	about := map[string]map[string]any{"metadata": metadata, "params": c.params, "url": {"pathname": c.in.URL.Path}}
	name := t.Strategy.Default
	for _, condition := range t.Strategy.Conditions {
		if holds(condition.Query, about) {
			name = condition.Then
			break
		}
	}
	for i := range t.Targets {
		if t.Targets[i].Name == name {
			return i, nil
		}
	}
	return 0, fail(http.StatusBadRequest, "Invalid target name found in the query router: "+name)
}

// holds reports whether a query holds for a call.
func holds(query portkey.Query, about map[string]map[string]any) bool {
	for key, want := range query {
		if parts, ok := want.([]any); ok && (key == "$and" || key == "$or") {
			met := 0
			for _, part := range parts {
				if q, _ := part.(map[string]any); holds(q, about) {
					met++
				}
			}
			if key == "$and" && met < len(parts) || key == "$or" && met == 0 {
				return false
			}
			continue
		}
		group, name, _ := strings.Cut(key, ".")
		operators, ok := want.(map[string]any)
		if !ok {
			operators = map[string]any{"$eq": want}
		}
		for op, want := range operators {
			if compare := comparisons[op]; compare == nil || !compare(about[group][name], want) {
				return false
			}
		}
	}
	return true
}

// comparisons are the operators of a query.
var comparisons = map[string]func(got, want any) bool{
	"$eq":  same,
	"$ne":  func(got, want any) bool { return !same(got, want) },
	"$gt":  func(got, want any) bool { return number(got) > number(want) },
	"$gte": func(got, want any) bool { return number(got) >= number(want) },
	"$lt":  func(got, want any) bool { return number(got) < number(want) },
	"$lte": func(got, want any) bool { return number(got) <= number(want) },
	"$in":  contains,
	"$nin": func(got, want any) bool { _, ok := want.([]any); return ok && !contains(got, want) },
	"$regex": func(got, want any) bool {
		re, err := regexp.Compile(fmt.Sprint(want))
		return err == nil && re.MatchString(fmt.Sprint(got))
	},
}

func contains(got, want any) bool {
	list, _ := want.([]any)
	return slices.ContainsFunc(list, func(v any) bool { return same(got, v) })
}

// same compares as JavaScript's === does; a number is not its text.
func same(a, b any) bool {
	switch a.(type) {
	case float64, json.Number:
		_, isText := b.(string)
		return !isText && number(a) == number(b)
	case string, bool, nil:
		return a == b
	}
	return false
}

func number(v any) float64 {
	f, err := strconv.ParseFloat(strings.TrimSpace(fmt.Sprint(v)), 64)
	if err != nil {
		return math.NaN()
	}
	return f
}

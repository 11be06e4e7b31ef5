package portkeytest

import (
	"bytes"
	"encoding/json"
	"maps"
	"mime"
	"mime/multipart"
	"slices"
	"strings"
)

// params are the members of a JSON body. Their values are undecoded, so that no number loses digits.
type params map[string]json.RawMessage

// UnmarshalJSON decodes an object. Like the gateway, it ignores any other value.
func (p *params) UnmarshalJSON(text []byte) error {
	var members map[string]json.RawMessage
	if json.Unmarshal(text, &members) == nil {
		*p = members
	}
	return nil
}

func (p params) isStream() bool { return string(p["stream"]) == "true" }

func (p params) model() string {
	var model string
	json.Unmarshal(p["model"], &model)
	return model
}

// merge returns the members of both. Those of b take precedence.
func merge(a, b params) params {
	merged := maps.Clone(a)
	if merged == nil {
		return b
	}
	maps.Copy(merged, b)
	return merged
}

// changesParams reports whether the target changes the parameters of a request.
func (t *target) changesParams() bool {
	return len(t.OverrideParams) > 0 || len(t.DefaultParams) > 0 || len(t.DropParams) > 0
}

// changeParams returns the parameters that the provider receives. Only override_params can be compared with the
// open-source gateway, which does not have the other two; their order is portkeytest's choice.
func (t *target) changeParams(p params) params {
	kept := maps.Clone(p)
	maps.DeleteFunc(kept, func(name string, _ json.RawMessage) bool { return slices.Contains(t.DropParams, name) })
	return merge(merge(t.DefaultParams, kept), t.OverrideParams)
}

// savedModel splits a model of a saved provider, such as @openai-prod/gpt-4o, into the provider and the model's name.
func savedModel(model string) (provider, name string, ok bool) {
	provider, name, ok = strings.Cut(model, "/")
	ok = ok && len(provider) > 1 && isSavedProvider(provider) && name != ""
	return provider, name, ok
}

// namesSavedProvider reports whether the body of the request contains a model of a saved provider.
func (x *exchange) namesSavedProvider() bool {
	_, _, ok := savedModel(x.requestModel())
	return ok
}

// requestModel returns the model in the body, which is JSON or a form, or "".
func (x *exchange) requestModel() string {
	mediaType, mediaParams, _ := mime.ParseMediaType(headerValue(x.req.Header, "Content-Type"))
	if mediaType == "multipart/form-data" {
		form, err := multipart.NewReader(bytes.NewReader(x.body), mediaParams["boundary"]).ReadForm(maxBodyBytes)
		if err != nil || len(form.Value["model"]) == 0 {
			return ""
		}
		return form.Value["model"][0]
	}
	var p params
	json.Unmarshal(x.body, &p)
	return p.model()
}

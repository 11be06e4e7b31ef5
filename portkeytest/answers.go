package portkeytest

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
)

// created is when all that is answered was made, in seconds.
const created = 1700000000

type object = map[string]any

// answers are what is answered by itself, as OpenAI and Anthropic do.
var answers = http.NewServeMux()

func init() {
	for pattern, answer := range map[string]func(params object) (body any, events []event){
		"POST /chat/completions":         chat,
		"POST /prompts/{id}/completions": chat, // a prompt that is saved at Portkey
		"POST /completions":              complete,
		"POST /responses":                respond,
		"POST /messages":                 message,
		"POST /messages/count_tokens":    func(p object) (any, []event) { return object{"input_tokens": tokens(prompt(p["messages"]))}, nil },
		"POST /embeddings":               embed,
		"POST /images/generations":       draft,
	} {
		answers.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			params, ok := readParams(w, r)
			if !ok {
				return
			}
			body, events := answer(params)
			if stream, _ := params["stream"].(bool); stream && events != nil {
				writeEvents(w, events)
				return
			}
			writeJSON(w, http.StatusOK, body)
		})
	}
	answers.HandleFunc("GET /models", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusOK, object{"object": "list", "data": []any{model("gpt-4o-mini"), model("text-embedding-3-small")}})
	})
	answers.HandleFunc("GET /models/{id...}", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusOK, model(r.PathValue("id")))
	})
	answers.HandleFunc("POST /files", upload)
	answers.HandleFunc("GET /files", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusOK, object{"object": "list", "data": []any{file("file-portkeytest")}, "has_more": false})
	})
	answers.HandleFunc("GET /files/{id}", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusOK, file(r.PathValue("id")))
	})
	answers.HandleFunc("GET /files/{id}/content", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		io.WriteString(w, "{}\n")
	})
	answers.HandleFunc("DELETE /files/{id}", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusOK, object{"id": r.PathValue("id"), "object": "file", "deleted": true})
	})
	answers.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusNotFound, errorBody(http.StatusNotFound, fmt.Sprintf("Invalid URL (%s /v1%s)", r.Method, r.URL.Path)))
	})
}

// An event is one of a stream. data is JSON, or text as it is.
type event struct {
	name string
	data any
}

func chat(p object) (any, []event) {
	said := reply(p["messages"])
	usage := object{"prompt_tokens": tokens(prompt(p["messages"])), "completion_tokens": tokens(said),
		"total_tokens": tokens(prompt(p["messages"])) + tokens(said)}
	answer := func(kind string, choices ...any) object {
		if choices == nil {
			choices = []any{}
		}
		return object{"id": "chatcmpl-portkeytest", "object": kind, "created": created, "model": p["model"], "choices": choices}
	}
	body := answer("chat.completion", object{"index": 0, "finish_reason": "stop", "logprobs": nil,
		"message": object{"role": "assistant", "content": said, "refusal": nil}})
	body["usage"] = usage

	chunk := func(delta object, finish any) event {
		return event{"", answer("chat.completion.chunk", object{"index": 0, "delta": delta, "logprobs": nil, "finish_reason": finish})}
	}
	events := []event{chunk(object{"role": "assistant", "content": ""}, nil)}
	for _, word := range words(said) {
		events = append(events, chunk(object{"content": word}, nil))
	}
	events = append(events, chunk(object{}, "stop"))
	if options, _ := p["stream_options"].(object); options["include_usage"] == true {
		last := answer("chat.completion.chunk")
		last["usage"] = usage
		events = append(events, event{"", last})
	}
	return body, append(events, event{"", "[DONE]"})
}

func complete(p object) (any, []event) {
	said := reply(p["prompt"])
	answer := func(text string, finish any) object {
		return object{"id": "cmpl-portkeytest", "object": "text_completion", "created": created, "model": p["model"],
			"choices": []any{object{"index": 0, "text": text, "logprobs": nil, "finish_reason": finish}}}
	}
	body := answer(said, "stop")
	body["usage"] = object{"prompt_tokens": tokens(prompt(p["prompt"])), "completion_tokens": tokens(said),
		"total_tokens": tokens(prompt(p["prompt"])) + tokens(said)}
	var events []event
	for _, word := range words(said) {
		events = append(events, event{"", answer(word, nil)})
	}
	return body, append(events, event{"", answer("", "stop")}, event{"", "[DONE]"})
}

func respond(p object) (any, []event) {
	said := reply(p["input"])
	part := func(text string) object { return object{"type": "output_text", "text": text, "annotations": []any{}} }
	item := func(status string, content ...any) object {
		if content == nil {
			content = []any{}
		}
		return object{"id": "msg_portkeytest", "type": "message", "role": "assistant", "status": status, "content": content}
	}
	response := func(status string, output ...any) object {
		if output == nil {
			output = []any{}
		}
		return object{"id": "resp_portkeytest", "object": "response", "created_at": created, "status": status, "model": p["model"],
			"output": output, "usage": nil, "error": nil, "incomplete_details": nil, "instructions": nil, "max_output_tokens": nil,
			"metadata": object{}, "parallel_tool_calls": true, "previous_response_id": nil, "temperature": 1,
			"text": object{"format": object{"type": "text"}}, "tool_choice": "auto", "tools": []any{}, "top_p": 1, "truncation": "disabled"}
	}
	body := response("completed", item("completed", part(said)))
	body["usage"] = object{"input_tokens": tokens(prompt(p["input"])), "input_tokens_details": object{"cached_tokens": 0},
		"output_tokens": tokens(said), "output_tokens_details": object{"reasoning_tokens": 0},
		"total_tokens": tokens(prompt(p["input"])) + tokens(said)}

	var events []event
	add := func(name string, data object) {
		data["type"], data["sequence_number"] = name, len(events)
		events = append(events, event{name, data})
	}
	at := func(key string, value any) object {
		return object{"item_id": "msg_portkeytest", "output_index": 0, "content_index": 0, key: value}
	}
	add("response.created", object{"response": response("in_progress")})
	add("response.in_progress", object{"response": response("in_progress")})
	add("response.output_item.added", object{"output_index": 0, "item": item("in_progress")})
	add("response.content_part.added", at("part", part("")))
	for _, word := range words(said) {
		add("response.output_text.delta", at("delta", word))
	}
	add("response.output_text.done", at("text", said))
	add("response.content_part.done", at("part", part(said)))
	add("response.output_item.done", object{"output_index": 0, "item": item("completed", part(said))})
	add("response.completed", object{"response": body})
	return body, events
}

// message answers as Anthropic does.
func message(p object) (any, []event) {
	said := reply(p["messages"])
	answer := func(stop any, output int, content ...any) object {
		if content == nil {
			content = []any{}
		}
		return object{"id": "msg_portkeytest", "type": "message", "role": "assistant", "model": p["model"], "content": content,
			"stop_reason": stop, "stop_sequence": nil,
			"usage": object{"input_tokens": tokens(prompt(p["messages"])), "output_tokens": output}}
	}
	body := answer("end_turn", tokens(said), object{"type": "text", "text": said})

	var events []event
	add := func(name string, data object) {
		data["type"] = name
		events = append(events, event{name, data})
	}
	add("message_start", object{"message": answer(nil, 1)})
	add("content_block_start", object{"index": 0, "content_block": object{"type": "text", "text": ""}})
	add("ping", object{})
	for _, word := range words(said) {
		add("content_block_delta", object{"index": 0, "delta": object{"type": "text_delta", "text": word}})
	}
	add("content_block_stop", object{"index": 0})
	add("message_delta", object{"delta": object{"stop_reason": "end_turn", "stop_sequence": nil},
		"usage": object{"output_tokens": tokens(said)}})
	add("message_stop", object{})
	return body, events
}

// embed answers with a vector for each input, equal ones for equal inputs.
func embed(p object) (any, []event) {
	inputs, isList := p["input"].([]any)
	if isList && len(inputs) > 0 {
		_, isToken := inputs[0].(float64)
		isList = !isToken // or it is one input, as tokens
	}
	if !isList {
		inputs = []any{p["input"]}
	}
	dimensions := 8
	if d, ok := p["dimensions"].(float64); ok && d >= 1 && d <= 4096 {
		dimensions = int(d)
	}
	data, used := []any{}, 0
	for i, input := range inputs {
		text := fmt.Sprint(input)
		used += tokens(text)
		vector := make([]float32, dimensions)
		for j := range vector {
			vector[j] = float32(math.Sin(float64(len(text)*(j+1)))) / float32(math.Sqrt(float64(dimensions)))
		}
		var embedding any = vector
		if p["encoding_format"] == "base64" {
			var b bytes.Buffer
			binary.Write(&b, binary.LittleEndian, vector)
			embedding = base64.StdEncoding.EncodeToString(b.Bytes())
		}
		data = append(data, object{"object": "embedding", "index": i, "embedding": embedding})
	}
	return object{"object": "list", "model": p["model"], "data": data,
		"usage": object{"prompt_tokens": used, "total_tokens": used}}, nil
}

// pixel is a GIF of one pixel.
const pixel = "R0lGODlhAQABAAAAACwAAAAAAQABAAACAkQBADs="

func draft(p object) (any, []event) {
	image := object{"url": "https://images.example.com/portkeytest.gif"}
	if p["response_format"] == "b64_json" {
		image = object{"b64_json": pixel}
	}
	return object{"created": created, "data": []any{image}}, nil
}

func model(id string) object {
	return object{"id": id, "object": "model", "created": created, "owned_by": "portkeytest"}
}

func file(id string) object {
	return object{"id": id, "object": "file", "bytes": 3, "created_at": created, "filename": "portkeytest.jsonl",
		"purpose": "batch", "status": "processed", "status_details": nil}
}

func upload(w http.ResponseWriter, r *http.Request) {
	content, header, err := r.FormFile("file")
	if err != nil {
		writeJSON(w, http.StatusBadRequest, errorBody(http.StatusBadRequest, "'file' is a required property"))
		return
	}
	content.Close()
	f := file("file-portkeytest")
	f["bytes"], f["filename"], f["purpose"] = header.Size, header.Filename, r.FormValue("purpose")
	writeJSON(w, http.StatusOK, f)
}

// reply is what the model says to the last of the messages.
func reply(input any) string {
	if list, ok := input.([]any); ok && len(list) > 0 {
		input = list[len(list)-1]
	}
	if said := prompt(input); said != "" {
		return "You said: " + said
	}
	return "You said: nothing"
}

// prompt is the text in messages, a message, parts of one, or a text.
func prompt(input any) string {
	switch v := input.(type) {
	case string:
		return v
	case []any:
		var texts []string
		for _, e := range v {
			if text := prompt(e); text != "" {
				texts = append(texts, text)
			}
		}
		return strings.Join(texts, " ")
	case object:
		return prompt(v["content"]) + prompt(v["text"])
	}
	return ""
}

// words cuts a text so that joined they are the text again.
func words(text string) []string { return strings.SplitAfter(text, " ") }

// tokens counts one for each word.
func tokens(text string) int { return len(strings.Fields(text)) }

// readParams reads a JSON body. What is no object is an empty one.
func readParams(w http.ResponseWriter, r *http.Request) (params object, ok bool) {
	var body any
	if json.NewDecoder(r.Body).Decode(&body) != nil {
		writeJSON(w, http.StatusBadRequest, errorBody(http.StatusBadRequest, "We could not parse the JSON body of your request."))
		return nil, false
	}
	if params, ok = body.(object); !ok {
		params = make(object)
	}
	if params["model"] == nil {
		params["model"] = "portkeytest"
	}
	return params, true
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	io.WriteString(w, toJSON(body))
}

func writeEvents(w http.ResponseWriter, events []event) {
	w.Header().Set("Content-Type", "text/event-stream")
	flusher := http.NewResponseController(w)
	for _, e := range events {
		if e.name != "" {
			io.WriteString(w, "event: "+e.name+"\n")
		}
		data, isText := e.data.(string)
		if !isText {
			data = toJSON(e.data)
		}
		io.WriteString(w, "data: "+data+"\n\n")
		flusher.Flush()
	}
}

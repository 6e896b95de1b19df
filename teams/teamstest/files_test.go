package teamstest

import (
	"bytes"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// fileCall makes a request to an address that Graph gave out.
func (w *world) fileCall(method, address string, body []byte, headers ...string) answer {
	w.Helper()
	return w.call("", method, address, body, headers...)
}

func TestUploadSession(t *testing.T) {
	w := newWorld(t, Options{})
	folder := w.get(asApp, w.general.path()+"/filesFolder").want(http.StatusOK).json
	item := fmt.Sprintf("/drives/%s/items/%s:/", folder["parentReference"].(map[string]any)["driveId"], folder["id"])
	w.call(as(w.eve), "POST", item+"a.txt:/createUploadSession", nil).want(http.StatusForbidden)
	w.call("user:"+w.bob.ID+":Files.ReadWrite", "POST", item+"a.txt:/createUploadSession", nil).want(http.StatusForbidden)
	w.call(as(w.bob), "POST", item+"a%3Fb.txt:/createUploadSession", nil).want(http.StatusBadRequest)
	w.general.PutFile(w.ann, "a.txt", Bytes([]byte("old")))
	w.call(as(w.bob), "POST", item+"a.txt:/createUploadSession", nil).want(http.StatusConflict)
	begin := func() string {
		return w.call(as(w.bob), "POST", item+"a.txt:/createUploadSession", map[string]any{"item": map[string]any{"@microsoft.graph.conflictBehavior": "rename"}}).
			want(http.StatusOK).json["uploadUrl"].(string)
	}
	session := begin()
	data := bytes.Repeat([]byte("x"), uploadStep+5)
	w.fileCall("PUT", session, data[:10], "Content-Range", "bytes 0-9/327685").want(http.StatusBadRequest)
	w.fileCall("PUT", session, data[:10]).want(http.StatusBadRequest)
	w.fileCall("PUT", session, data[:uploadStep], "Content-Range", "bytes 5-327684/327690").want(http.StatusRequestedRangeNotSatisfiable)
	first := func() answer {
		return w.fileCall("PUT", session, data[:uploadStep], "Content-Range", "bytes 0-327679/327685")
	}
	first().want(http.StatusAccepted)
	first().want(http.StatusRequestedRangeNotSatisfiable)
	require.Equal(t, []any{"327680-"}, w.fileCall("GET", session, nil).want(http.StatusOK).json["nextExpectedRanges"])
	w.call(as(w.bob), "PUT", session, data[uploadStep:], "Content-Range", "bytes 327680-327684/327685").want(http.StatusUnauthorized)
	require.Len(t, w.Violations(ViolationTokenLeak), 1)
	done := w.fileCall("PUT", session, data[uploadStep:], "Content-Range", "bytes 327680-327684/327685").want(http.StatusCreated).json
	require.Equal(t, "a 1.txt", done["name"])
	w.fileCall("GET", session, nil).want(http.StatusNotFound)

	other := begin()
	w.fileCall("DELETE", other, nil).want(http.StatusNoContent)
	w.fileCall("GET", other, nil).want(http.StatusNotFound)
	other = begin()
	w.ExpireUploads()
	w.fileCall("PUT", other, data[:5], "Content-Range", "bytes 0-4/5").want(http.StatusNotFound)

	read := w.get(asApp, item+"a%201.txt").want(http.StatusOK).json
	address := read["@microsoft.graph.downloadUrl"].(string)
	require.Equal(t, data, w.fileCall("GET", address, nil).want(http.StatusOK).raw)
	part := w.fileCall("GET", address, nil, "Range", "bytes=327680-").want(http.StatusPartialContent)
	require.Equal(t, "xxxxx", string(part.raw))
	require.Equal(t, "bytes 327680-327684/327685", part.header.Get("Content-Range"))
	w.get("user:"+w.eve.ID+":Files.Read.All", item+"a.txt").want(http.StatusForbidden)
	w.get("app:ChannelMessage.Read.All", item+"a.txt").want(http.StatusForbidden)
}

func TestReferenceNamesItsFile(t *testing.T) {
	w := newWorld(t, Options{})
	f := w.general.PutFile(w.bob, "plan.docx", Bytes([]byte("x")))
	post := func(id, name string) answer {
		return w.call(as(w.bob), "POST", w.general.path()+"/messages", map[string]any{
			"body":        map[string]any{"contentType": "html", "content": `<attachment id="` + id + `"></attachment>`},
			"attachments": []any{map[string]any{"id": id, "contentType": "reference", "contentUrl": f.Attachment().ContentURL, "name": name}},
		})
	}
	post("153fa47d-18c9-4179-be08-9879815a9f90", "plan.docx").want(http.StatusBadRequest)
	post(f.GUID, "plan.pdf").want(http.StatusBadRequest)
	post(f.GUID, "plan.docx").want(http.StatusCreated)
}

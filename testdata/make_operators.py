"""Writes test cases of operators, those of com.microsoft into FOLDER/microsoft and others into FOLDER/standard; the expected outputs are those of ONNX Runtime 1.32 on a CPU, unoptimised.

usage: make_operators.py FOLDER   (needs onnx, onnxruntime, numpy)
"""
import os, shutil, sys
import numpy as np, onnx, onnxruntime as ort
from onnx import helper as h, numpy_helper as nh, TensorProto as T
R = sys.argv[1] + '/microsoft'
shutil.rmtree(R,ignore_errors=True)
rng=np.random.default_rng(0)
DT={np.dtype('float32'):1,np.dtype('int32'):6,np.dtype('int64'):7,np.dtype('uint8'):2,np.dtype('int8'):3,np.dtype('float16'):10,np.dtype('bool'):9,np.dtype('O'):8}
def case(name,op,ins,nout,consts=(),dom='com.microsoft',ms=17,tol=None,outnames=None,sym=None,**attrs):
    names=[]; gi=[]; init=[]; feed={}
    for i,x in enumerate(ins):
        if x is None: names.append(''); continue
        n='i%d'%i; names.append(n)
        if i in consts: init.append(nh.from_array(x,n))
        else:
            shp=list(x.shape)
            if sym and i in sym: shp=sym[i]
            gi.append(h.make_tensor_value_info(n,DT[x.dtype],shp)); feed[n]=x
    outs=outnames or ['o%d'%i for i in range(nout)]
    node=h.make_node(op,names,outs,domain=dom,**attrs)
    m=None
    g=h.make_graph([node],'g',gi,[h.make_empty_tensor_value_info(o) for o in outs if o],init)
    m=h.make_model(g,opset_imports=[h.make_opsetid('',ms),h.make_opsetid('com.microsoft',1)],ir_version=9)
    so=ort.SessionOptions(); so.graph_optimization_level=ort.GraphOptimizationLevel.ORT_DISABLE_ALL; so.log_severity_level=4; so.intra_op_num_threads=1; so.intra_op_num_threads=1
    try:
        s=ort.InferenceSession(m.SerializeToString(),so,providers=['CPUExecutionProvider'])
        res=s.run(None,feed)
    except Exception as e:
        print('ORT',name,str(e)[:200]); return
    # declare output types
    del m.graph.output[:]
    for o,r in zip([o for o in outs if o],res): m.graph.output.append(h.make_tensor_value_info(o,DT[r.dtype],None))
    d=f'{R}/{name}/test_data_set_0'; os.makedirs(d)
    onnx.save(m,f'{R}/{name}/model.onnx')
    for k,(n,x) in enumerate(feed.items()): open(f'{d}/input_{k}.pb','wb').write(nh.from_array(x,n).SerializeToString())
    for k,(o,r) in enumerate(zip([o for o in outs if o],res)): open(f'{d}/output_{k}.pb','wb').write(nh.from_array(r,o).SerializeToString())
    open(f'{R}/{name}/data.json','w').write('{"rtol": %g, "atol": %g}'%(tol or (1e-3,1e-4)))
f=lambda *s: rng.standard_normal(s).astype('float32')
x=f(2,5,16)
case('gelu','Gelu',[x],1); case('biasgelu','BiasGelu',[x,f(16)],1); case('fastgelu','FastGelu',[x,f(16)],1); case('quickgelu','QuickGelu',[x],1); case('quickgelu2','QuickGelu',[x],1,alpha=1.3)
case('skipln','SkipLayerNormalization',[x,f(2,5,16),f(16),f(16),f(16)],4,outnames=['a','','','d'],epsilon=1e-5)
case('skipln2','SkipLayerNormalization',[x,f(5,16),f(16)],1)
case('skiprms','SkipSimplifiedLayerNormalization',[x,f(2,5,16),f(16),f(16)],4,outnames=['a','','','d'])
case('simpl','SimplifiedLayerNormalization',[x,f(16)],1,dom='',epsilon=1e-6,axis=-1)
ids=rng.integers(0,20,(2,5)).astype('int32'); seg=rng.integers(0,2,(2,5)).astype('int32'); mask=np.array([[1,1,1,1,1],[1,1,1,0,0]],'int32')
case('embed','EmbedLayerNormalization',[ids,seg,f(20,16),f(9,16),f(2,16),f(16),f(16),mask],2)
case('embed3','EmbedLayerNormalization',[ids,seg,f(20,16),f(9,16),f(2,16),f(16),f(16),mask],3)
case('embed2','EmbedLayerNormalization',[ids,None,f(20,16),f(9,16),None,f(16),f(16),None,rng.integers(0,9,(2,5)).astype('int32')],2)
case('fmm','FusedMatMul',[f(2,3,4,5),f(2,3,6,5)],1,alpha=0.5,transB=1)
case('fmm2','FusedMatMul',[f(2,3,5,4),f(2,3,5,6)],1,alpha=0.5,transA=1)
case('fmm3','FusedMatMul',[f(4,2,3,5),f(2,3,5,6)],1,transBatchA=1)
case('fmm4','FusedMatMul',[f(4,2,3,5),f(6,2,3,4)],1,transBatchA=1,transA=1,transBatchB=1,transB=1)
case('fconv','FusedConv',[f(1,3,8,8),f(4,3,3,3),f(4)],1,activation='Relu',pads=[1,1,1,1])
case('fconv2','FusedConv',[f(1,3,8,8),f(4,3,3,3),f(4),f(1,4,8,8)],1,activation='Relu',pads=[1,1,1,1])
case('fconv3','FusedConv',[f(1,3,8,8),f(4,3,3,3)],1,activation='LeakyRelu',activation_params=[0.3])
case('fgemm','FusedGemm',[f(3,4),f(5,4),f(5)],1,transB=1,activation='LeakyRelu',activation_alpha=0.2)
# attention
W=f(16,48); B=f(48)
case('attn','Attention',[x,W,B],1,num_heads=4)
case('attn_mask2','Attention',[x,W,B,mask],1,num_heads=4)
case('attn_mask1','Attention',[x,W,B,np.array([5,3],'int32')],1,num_heads=4)
case('attn_mask1b','Attention',[x,W,B,np.array([5,4,0,1],'int32')],1,num_heads=4)
m3=np.tril(np.ones((2,5,5),'int32')); case('attn_mask3','Attention',[x,W,B,m3],1,num_heads=4)
case('attn_uni','Attention',[x,W,B],1,num_heads=4,unidirectional=1)
case('attn_past','Attention',[x,W,B,None,f(2,2,4,3,4)],2,num_heads=4,unidirectional=1)
case('attn_pastm','Attention',[x,W,B,rng.integers(0,2,(2,8)).astype('int32')|np.array([1,0,0,0,0,0,0,0],'int32'),f(2,2,4,3,4)],2,num_heads=4)
case('attn_bias','Attention',[x,W,B,None,None,f(2,4,5,5)],1,num_heads=4,scale=0.3)
case('attn_sizes','Attention',[x,f(16,40),f(40)],1,num_heads=4,qkv_hidden_sizes=[16,16,8])
# mha
q,k,v=f(2,5,16),f(2,7,16),f(2,7,24)
case('mha','MultiHeadAttention',[q,k,v],1,num_heads=4)
case('mha_bias','MultiHeadAttention',[q,k,v,f(56)],1,num_heads=4)
case('mha_mask','MultiHeadAttention',[q,k,v,None,(rng.integers(0,3,(2,7))>0).astype('int32')],1,num_heads=4)
case('mha_rpb','MultiHeadAttention',[q,k,v,None,None,f(1,4,5,7)],1,num_heads=4)
case('mha_present','MultiHeadAttention',[q,f(2,5,16),f(2,5,16)],3,num_heads=4)
case('mha_past','MultiHeadAttention',[q,f(2,5,16),f(2,5,16),None,None,None,f(2,4,3,4),f(2,4,3,4)],3,num_heads=4)
case('mha_past_uni','MultiHeadAttention',[q,f(2,5,16),f(2,5,16),None,None,None,f(2,4,3,4),f(2,4,3,4)],3,num_heads=4,unidirectional=1)
case('mha_cross','MultiHeadAttention',[q,f(2,4,7,4),f(2,4,7,4)],1,num_heads=4)
# gqa
def gqa(name,B,S,P,T,h=4,hk=2,d=16,packed=False,seql=None,rot=False,sym=None,extra=None,**a):
    q=f(B,S,h*d); k=f(B,S,hk*d); v=f(B,S,hk*d)
    if packed: q=np.concatenate([q,k,v],-1); k=v=None
    seql=np.array(seql if seql is not None else [T-1]*B,'int32')
    ins=[q,k,v,f(B,hk,P,d),f(B,hk,P,d),seql,np.array(T,'int32')]
    if rot: ang=f(64,d//2); ins+=[np.cos(ang),np.sin(ang)]; a['do_rotary']=1
    if extra:
        while len(ins)<max(extra)+1: ins.append(None)
        for i,e in extra.items(): ins[i]=e
    case('gqa_'+name,'GroupQueryAttention',ins,3,num_heads=h,kv_num_heads=hk,**a)
gqa('prompt',2,5,0,5); gqa('packed',2,5,0,5,packed=True); gqa('rot',2,5,0,5,rot=True); gqa('rotil',2,5,0,5,rot=True,rotary_interleaved=1)
gqa('step',2,1,6,7,rot=True); gqa('pad_prompt',2,5,0,5,seql=[4,2],rot=True); gqa('ragged_step',2,1,6,7,seql=[6,4],rot=True)
gqa('win',1,1,9,10,local_window_size=4); gqa('winp',1,8,0,8,local_window_size=3); gqa('softcap',2,5,0,5,softcap=3.0); gqa('chunk',1,3,6,9,rot=True); gqa('buf',1,1,12,7,seql=[6],rot=True)
gqa('smooth',2,5,0,5,smooth_softmax=1); gqa('sink',2,5,0,5,extra={11:f(4)})
gqa('bias',2,5,0,5,extra={10:f(2,4,5,5)}); gqa('pos',2,5,0,5,rot=True,extra={9:np.array([[2,3,4,5,6],[2,3,4,5,6]],'int64')})
gqa('scale',2,5,0,5,scale=0.7)
# rotary
ang=f(32,4)
case('rotms','RotaryEmbedding',[f(2,5,32),rng.integers(0,32,(2,5)).astype('int64'),np.cos(ang),np.sin(ang)],1)
case('rotms2','RotaryEmbedding',[f(2,5,32),np.array([3],'int64'),np.cos(ang),np.sin(ang)],1,interleaved=1)
case('rotms3','RotaryEmbedding',[f(2,3,5,8),rng.integers(0,32,(2,5)).astype('int64'),np.cos(ang),np.sin(ang)],1)
case('rotms4','RotaryEmbedding',[f(2,5,36),rng.integers(0,32,(2,5)).astype('int64'),np.cos(ang),np.sin(ang)],1,num_heads=3,rotary_embedding_dim=8)
# nbits
def nb(name,M,K,N,bits,bs,zp=None,acc=0,bias=False,const=True):
    nbk=(K+bs-1)//bs
    Bq=rng.integers(0,256,(N,nbk,bs*bits//8)).astype('uint8'); sc=(rng.random((N,nbk))*0.1).astype('float32')
    z=None
    if zp=='u': z=rng.integers(0,256,(N,(nbk*bits+7)//8)).astype('uint8')
    if zp=='f': z=(rng.random((N,nbk))*15).astype('float32')
    ins=[f(M,K),Bq,sc,z]+([None,f(N)] if bias else [])
    case('nb_'+name,'MatMulNBits',ins,1,consts=(1,2,3) if const else (),K=K,N=N,bits=bits,block_size=bs,accuracy_level=acc,tol=(2e-3,2e-3))
nb('4',3,64,24,4,32); nb('4z',3,64,24,4,16,'u'); nb('4odd',3,96,24,4,32,'u'); nb('4part',3,80,24,4,32,'u'); nb('8',3,64,24,8,32); nb('8z',3,64,24,8,16,'u'); nb('4f',3,64,24,4,32,'f'); nb('4bias',2,64,24,4,32,None,0,True); nb('4acc',3,128,24,4,32,None,4); nb('4accz',3,96,24,4,32,'u',4); nb('8acc',3,64,24,8,32,None,4); nb('4in',3,96,24,4,32,'u',0,False,False); nb('2',3,64,24,2,32,None); nb('1',1,64,24,4,16)
# quantised
u=lambda *s: rng.integers(0,256,s).astype('uint8'); sc=lambda v: np.array(v,'float32'); z=lambda v: np.array(v,'uint8')
case('qadd','QLinearAdd',[u(3,4),sc(.1),z(100),u(3,4),sc(.2),z(120),sc(.3),z(128)],1,tol=(0,1)); case('qmul','QLinearMul',[u(3,4),sc(.1),z(100),u(4),sc(.2),z(120),sc(.9),z(128)],1,tol=(0,1))
case('qsig','QLinearSigmoid',[u(3,4),sc(.1),z(100),sc(.004),z(0)],1,tol=(0,1)); case('qlrelu','QLinearLeakyRelu',[u(3,4),sc(.1),z(100),sc(.1),z(50)],1,alpha=0.1,tol=(0,1))
case('qsoft','QLinearSoftmax',[u(3,4),sc(.1),z(100),sc(.004),z(0)],1,axis=1,opset=13,tol=(0,1))
case('qgap','QLinearGlobalAveragePool',[u(1,3,4,4),sc(.1),z(100),sc(.1),z(90)],1,tol=(0,1)); case('qap','QLinearAveragePool',[u(1,3,6,6),sc(.1),z(100),sc(.1),z(90)],1,kernel_shape=[2,2],strides=[2,2],tol=(0,1))
case('qcat','QLinearConcat',[sc(.2),z(110),u(2,3),sc(.1),z(100),u(2,2),sc(.2),z(120)],1,axis=1,tol=(0,1))
case('qgemm','QGemm',[u(3,4),sc(.1),z(100),u(4,5),sc(.2),z(120),rng.integers(-500,500,(5,)).astype('int32'),sc(3.0),z(128)],1,tol=(0,1))
case('qgemmf','QGemm',[u(3,4),sc(.1),z(100),u(5,4),sc(.2),z(120),rng.integers(-500,500,(5,)).astype('int32')],1,transB=1,alpha=1.0)
i8=lambda *s: rng.integers(-127,127,s).astype('int8')
case('dqmm','DynamicQuantizeMatMul',[f(3,8),i8(8,5),f(5)**2,np.zeros(5,'int8'),f(5)],1,consts=(1,2,3,4)); case('mitf','MatMulIntegerToFloat',[u(3,8),i8(8,5),sc(.1),sc(.2),z(100),np.array(3,'int8'),f(5)],1)
case('qattn','QAttention',[u(2,5,16),i8(16,48),f(48),sc(.05),sc(.02),mask,z(120),np.array(0,'int8')],1,num_heads=4,consts=(1,2,3,4,6,7))
R = sys.argv[1] + '/standard'
def e(name,eq,*ins): case('e_'+name,'Einsum',list(ins),1,dom='',equation=eq)
e('a','bhid,bhjd->bhij',f(2,3,4,5),f(2,3,6,5)); e('c','ii->i',f(4,4)); e('d','bii->b',f(3,4,4)); e('e','i,j->ij',f(3),f(4)); e('f','ij,jk,kl->il',f(2,3),f(3,4),f(4,5))
e('g','abc,acd->abd',f(2,3,4),f(2,4,5)); e('h','ij',f(3,4)); e('i','ba',f(3,4)); e('j','bi,bi->b',f(3,4),f(3,4)); e('k','bi,bj->ij',f(3,4),f(3,5)); e('l','...d->...',f(2,3,4)); e('m','nchw,c->nhw',f(2,3,4,5),f(3)); e('n','bqhd,bkhd->bhqk',f(2,5,3,4),f(2,6,3,4)); e('o','bhqk,bkhd->bqhd',f(2,3,5,6),f(2,6,3,4)); e('p','ijk->',f(2,3,4)); e('q','bij,bk->bijk',f(2,3,4),f(2,5)); e('r','b...,b...->b...',f(2,3,4),f(2,1,4)); e('s','xy,z->x',f(2,3),f(4)); e('t','vw,bwpd->bvpd',f(4,4),f(2,4,3,5)); e('u','ij,jk->ik',rng.integers(0,9,(3,4)).astype('int64'),rng.integers(0,9,(4,5)).astype('int64'))
def c(name,op,ins,nout=1,opset=17,**a): case(name,op,ins,nout,dom='',ms=opset,**a)
c('r1','RoiAlign',[f(2,3,8,8),(rng.random((4,4))*8).astype('float32'),np.array([0,1,0,1],'int64')],opset=16,output_height=3,output_width=2,spatial_scale=0.7,sampling_ratio=2)
c('r2','RoiAlign',[f(2,3,8,8),(rng.random((4,4))*8).astype('float32'),np.array([0,1,0,1],'int64')],opset=16,output_height=3,output_width=2,coordinate_transformation_mode='output_half_pixel')
for m in('bilinear','nearest','bicubic'):
    for p in('zeros','border','reflection'):
        for al in(0,1): c(f'g_{m}_{p}_{al}','GridSample',[f(1,2,5,6),(rng.random((1,4,7,2))*3-1.5).astype('float32')],opset=16,mode=m,padding_mode=p,align_corners=al)
c('d1','DFT',[f(2,12,1)],axis=1,onesided=1); c('d2','DFT',[f(2,7,2)],axis=1,inverse=1); c('d3','DFT',[f(2,7,2),np.array(10,'int64')],axis=1)
c('s1','STFT',[f(2,100,1),np.array(10,'int64'),f(32)]); c('s2','STFT',[f(2,100,1),np.array(10,'int64'),None,np.array(25,'int64')])
c('gn','GroupNormalization',[f(2,6,4,4),f(6),f(6)],opset=21,num_groups=3); c('mvn','MeanVarianceNormalization',[f(2,3,4,4)]); c('lp','LpNormalization',[f(3,4)],p=1,axis=0)
c('d2s','DepthToSpace',[f(2,12,3,4)],blocksize=2,mode='CRD'); c('d2s2','DepthToSpace',[f(2,12,3,4)],blocksize=2); c('s2d','SpaceToDepth',[f(2,3,4,6)],blocksize=2)
c('mel','MelWeightMatrix',[np.array(20,'int64'),np.array(256,'int64'),np.array(8000,'int64'),np.array(0.,'float32'),np.array(4000.,'float32')]); c('bw','BlackmanWindow',[np.array(11,'int64')]); c('hw','HammingWindow',[np.array(11,'int64')],periodic=0)
c('eye','EyeLike',[f(3,5)],k=1); c('uq','Unique',[rng.integers(0,5,(4,6)).astype('int64')],4,sorted=0)
c('dc','DeformConv',[f(1,2,6,6),f(4,2,3,3),f(1,18,4,4),f(4),f(1,9,4,4)],opset=19,kernel_shape=[3,3])
c('hm','Hardmax',[f(2,3,4)],opset=11); c('c2i','Col2Im',[f(1,12,9),np.array([4,4],'int64'),np.array([2,2],'int64')],opset=18)
c('ag','AffineGrid',[f(2,2,3),np.array([2,3,4,5],'int64')],opset=20,align_corners=1)

# Whole graphs: (name, nodes, inputs with their shapes, initializers)
def graph(name,nodes,ins,init=(),opset=17,ir=9,tol=None):
    gi=[h.make_tensor_value_info(n,DT[x.dtype],shape) for n,x,shape in ins]
    g=h.make_graph(nodes,'g',gi,[h.make_empty_tensor_value_info('y')],[nh.from_array(np.array(v),n) for n,v in init])
    m=h.make_model(g,opset_imports=[h.make_opsetid('',opset)],ir_version=ir)
    res=ort.InferenceSession(m.SerializeToString(),providers=['CPUExecutionProvider']).run(None,{n:x for n,x,_ in ins})
    del m.graph.output[:]; m.graph.output.append(h.make_tensor_value_info('y',DT[res[0].dtype],None))
    d=f'{R}/{name}/test_data_set_0'; os.makedirs(d); onnx.save(m,f'{R}/{name}/model.onnx')
    for k,(n,x,_) in enumerate(ins): open(f'{d}/input_{k}.pb','wb').write(nh.from_array(x,n).SerializeToString())
    open(f'{d}/output_0.pb','wb').write(nh.from_array(res[0],'y').SerializeToString())
    open(f'{R}/{name}/data.json','w').write('{"rtol": %g, "atol": %g}'%(tol or (1e-3,1e-4)))
c('mrp','MaxRoiPool',[f(2,3,8,8),np.array([[0,0,0,5,5],[1,1,1,6,4],[1,-3,2,1,12],[0,6.4,6.6,6,6]],'float32')],pooled_shape=[3,2],spatial_scale=0.8)
for v in(11,13,18): c(f'rs_corners_{v}','Resize',[f(1,2,4,7),np.zeros(0,'float32'),np.array([1,1,2,1.5],'float32')],opset=v,mode='linear',coordinate_transformation_mode='align_corners')
c('rs_one','Resize',[f(1,2,4,7),None,None,np.array([1,2,1,1],'int64')],opset=18,mode='cubic',coordinate_transformation_mode='pytorch_half_pixel')
n=h.make_node
graph('range_of_extents',[n('Shape',['x'],['s'],start=1,end=2),n('Squeeze',['s'],['e']),n('Cast',['e'],['f'],to=1),n('Range',['zero','f','one'],['r']),n('Add',['r','half'],['p']),n('Mul',['p','x'],['y'])],
      [('x',f(2,5),['b','n'])],[('zero',np.float32(0)),('one',np.float32(1)),('half',np.float32(.5))])
graph('slice_by_slices',[n('Slice',['o','i','j'],['from']),n('Slice',['o','j','k'],['to']),n('Slice',['x','from','to'],['y'])],
      [('x',f(7,3),['n',3]),('i',np.array([1],'int64'),[1]),('j',np.array([2],'int64'),[1]),('k',np.array([3],'int64'),[1])],[('o',np.array([0,2,5,7],'int64'))])
R = sys.argv[1] + '/microsoft'
case('qconv_last','QLinearConv',[u(2,6,5,3),sc(.1),z(100),i8(4,3,3,3),f(4)**2*.01+.01,np.zeros(4,'int8'),sc(.5),z(128),rng.integers(-500,500,(4,)).astype('int32')],1,channels_last=1,kernel_shape=[3,3],pads=[1,1,1,1],strides=[1,2],tol=(0,1),consts=(3,4,5,8))
case('qconv_first','QLinearConv',[u(2,4,6,5),sc(.1),z(100),u(4,2,3,3),sc(.02),z(128),sc(.3),z(128)],1,group=2,kernel_shape=[3,3],tol=(0,1),consts=(3,))
case('maxpool_last','NhwcMaxPool',[u(2,6,5,3)],1,kernel_shape=[3,2],pads=[1,0,0,1],strides=[2,1]); case('maxpool_last8','NhwcMaxPool',[i8(1,7,7,4)],1,kernel_shape=[3,3],strides=[2,2],ceil_mode=1)
case('qap_last','QLinearAveragePool',[u(1,6,6,3),sc(.1),z(100),sc(.1),z(90)],1,kernel_shape=[2,2],strides=[2,2],channels_last=1,tol=(0,1))
case('qwhere','QLinearWhere',[rng.integers(0,2,(3,1)).astype('bool'),u(3,4),sc(.1),z(100),u(4),sc(.2),z(90),sc(.2),z(110)],1,tol=(0,1))
at=np.array([[0,3],[-1,2]],'int64')
def nibbles(name,rows,cols,bs,bits,zero):
    nbk=(cols+bs-1)//bs; zp=rng.integers(0,256,(rows,(nbk*bits+7)//8)).astype('uint8') if zero else None
    case('gbq_'+name,'GatherBlockQuantized',[rng.integers(0,256,(rows,cols*bits//8)).astype('uint8'),at,(rng.random((rows,nbk))*.1).astype('float32'),zp],1,consts=(0,2,3),bits=bits,block_size=bs,gather_axis=0,quantize_axis=1)
nibbles('4',9,64,16,4,False); nibbles('4z',9,64,32,4,True); nibbles('4odd',9,48,16,4,True); nibbles('8',9,64,32,8,False); nibbles('8z',9,40,16,8,True)
def bnb(name,k,n_,bs,kind): case('bnb4_'+name,'MatMulBnb4',[f(3,k),rng.integers(0,256,((k*n_+1)//2,)).astype('uint8'),(rng.random(((k*n_+bs-1)//bs,))*.3).astype('float32')],1,consts=(1,2),K=k,N=n_,block_size=bs,quant_type=kind)
bnb('fp',32,12,16,0); bnb('nf',32,12,32,1); bnb('part',21,7,16,1)
case('qembed','QEmbedLayerNormalization',[ids,seg,u(20,16),u(9,16),u(2,16),u(16),u(16),mask,sc(.02),sc(.03),sc(.01),sc(.02),sc(.01),z(120),z(130),z(128),z(100),z(128)],2,consts=tuple(range(2,7))+tuple(range(8,18)))
case('qembed2','QEmbedLayerNormalization',[ids,None,u(20,16),u(9,16),None,u(16),u(16),None,sc(.02),sc(.03),None,sc(.02),sc(.01),z(120),z(130),None,z(100),z(128)],2,consts=(2,3,5,6)+(8,9,11,12,13,14,16,17))
def qlstm(name,dirs,per,signed,extra=(None,None,None),**a):
    q=(lambda *s: i8(*s)//2) if signed else u; g=24; # pairs of products that no processor saturates
    shape=(dirs,g) if per else (dirs,); zt='int8' if signed else 'uint8'
    s=lambda: (rng.random(shape)*.01+.002).astype('float32'); zz=np.zeros(shape,zt) if signed else np.full(shape,128,zt)
    ins=[f(7,3,5),q(dirs,5,g),q(dirs,6,g),f(dirs,2*g),*extra,None,s(),zz,s(),zz]
    case('qlstm_'+name,'DynamicQuantizeLSTM',ins,3,consts=(1,2,3,8,9,10,11),hidden_size=6,tol=(1e-3,1e-3),**a)
qlstm('i8',1,False,True); qlstm('u8',1,False,False); qlstm('per',1,True,True,direction='reverse'); qlstm('both',2,False,True,(None,f(2,3,6),f(2,3,6)),direction='bidirectional')
case('cdist','CDist',[f(4,5),f(3,5)],1); case('cdist2','CDist',[f(4,5),f(3,5)],1,metric='euclidean')
words=np.array([['Hello  World','a-b,c'],['über naïve','']],dtype=object)
def tok(name,x=words,**a): case('tok_'+name,'Tokenizer',[x],1,mark=a.pop('mark',0),pad_value=a.pop('pad_value','#'),mincharnum=a.pop('mincharnum',1),**a)
tok('space',separators=[' ']); tok('two',separators=[' ','[-,]']); tok('chars',separators=['']); tok('marked',separators=[' '],mark=1); tok('least',separators=[' ','-',','],mincharnum=2)
tok('word',tokenexp='[a-zA-Z]+'); tok('longest',np.array(['abab','b'],dtype=object),tokenexp='a|ab'); tok('any',np.array(['abé'],dtype=object),tokenexp='.'); tok('marks',tokenexp='[a-z]+',mark=1,mincharnum=2)
case('not_imported','BiasGelu',[f(2,16),f(16)],1)
m=onnx.load(f'{R}/not_imported/model.onnx'); del m.opset_import[1:]; onnx.save(m,f'{R}/not_imported/model.onnx')
case('range','Range',[sc(0),sc(5),sc(1.5)],1); case('expand_dims','ExpandDims',[f(3,4),np.array(-2,'int32')],1,consts=(1,)); case('pad','Pad',[f(3,4),np.array([1,0,0,2],'int64'),sc(2)],1,mode='constant'); case('gather_nd','GatherND',[f(3,4,5),np.array([[0,1],[2,-1]],'int64')],1); case('trilu','Trilu',[f(3,4)],1,upper=0)
for act in('relu','silu','gelu','identity'): case('moe_'+act,'MoE',[f(5,8),f(5,4),f(4,16,8),f(4,16),f(4,8,16),f(4,8)],1,k=2,activation_type=act,normalize_routing_weights=int(act=='silu'))
case('moe_swiglu','MoE',[f(2,5,8),f(10,4),f(4,32,8),None,f(4,8,16)],1,k=2,activation_type='swiglu',swiglu_fusion=1,activation_alpha=1.702,activation_beta=1.,swiglu_limit=2.,normalize_routing_weights=1)
def qmoe(name,bits,bs,zero,norm=1,**a):
    s=lambda n,k: (rng.random((4,n,k//bs) if bs else (4,n))*.05+.01).astype('float32')
    zp=lambda n,k: (u(4,n,max(k//bs*bits//8,1)) if bs else u(4,n*bits//8)) if zero else None
    width=2 if 'swiglu_fusion' in a else 1
    case('qmoe_'+name,'QMoE',[f(5,32),f(5,4),u(4,width*32,32*bits//8),s(width*32,32),f(4,width*32),u(4,32,32*bits//8),s(32,32),f(4,32),None,None,None,zp(width*32,32),zp(32,32)],1,consts=(2,3,4,5,6,7,11,12) if bits==4 or not zero else (),k=2,expert_weight_bits=bits,normalize_routing_weights=norm,**({'block_size':bs} if bs else {}),**a)
qmoe('4',4,0,False,activation_type='silu'); qmoe('4z',4,0,True,activation_type='silu'); qmoe('4b',4,16,False,0,activation_type='swiglu',swiglu_fusion=1,activation_alpha=1.702,activation_beta=1.,swiglu_limit=7.); qmoe('4bz',4,16,True,activation_type='silu'); qmoe('8',8,0,False,0,activation_type='silu'); qmoe('8bz',8,16,True,activation_type='silu')
case('layer_norm_13','LayerNormalization',[f(2,5,16),f(16),f(16)],1,dom='',ms=13,axis=-1,epsilon=1e-5)
R = sys.argv[1] + '/standard'
for k,v in(('07',.7),('09',.9),('13',1.3),('third',1/3),('17',1.7)):
    for rows in(10,13,30): c(f'rs_f32_{k}_{rows}','Resize',[f(1,1,rows,3),np.zeros(0,'float32'),np.array([1,1,v,1],'float32')],opset=13,mode='linear',sym={0:[1,1,'h',3]},consts=(1,2))
c('rs_f32_data','Resize',[f(1,1,3,4),np.zeros(0,'float32'),np.array([1,1,7/3,2],'float32')],opset=11)
R = sys.argv[1] + '/microsoft'
for v in(.003921569,.00390625,.0045): case('qsoft_%g'%v,'QLinearSoftmax',[u(4,60),sc(.05),z(100),sc(v),z(0)],1,axis=1,opset=13,tol=(0,0),consts=(1,2,3,4))
case('qsoft_signed','QLinearSoftmax',[i8(4,60),sc(.05),np.array(3,'int8'),sc(.003921569),np.array(-128,'int8')],1,axis=1,opset=13,tol=(0,0),consts=(1,2,3,4))
